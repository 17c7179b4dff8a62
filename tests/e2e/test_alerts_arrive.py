"""Break the running system in several ways and see each alert arrive at a webhook through Alertmanager.

One system, broken further and further. The rules are the committed ones, but none waits longer than
`LONGEST` before it fires, and none is grouped for long: durations are
promtool's to check (alerts/tests), who silences whom is tests/alerts/test_inhibition.py's.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from alerts.groups import GROUPS
from infra.local import parts, scrape, supervision
from infra.local.layout import Layout
from tests.dashboards.test_dashboards import expressions
from tests.e2e.commands import SuperAgent
from tests.parts import wait_until
from tests.promql import exporters
from tests.webhook import Webhook, webhook

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PROVIDERS = {
    "providers": [
        {"name": "good", "kind": "simulator", "models": ["lorem"], "options": {"ttft": 0.05, "rate": 200}},
        {"name": "bad", "kind": "simulator", "models": ["lorem"], "options": {"fail": "overloaded"}},
    ],
    "aliases": {"both": ["bad/lorem", "good/lorem"]},
}
LONGEST = "20s"
TOOLS = tuple(exporters()["tools"]["metrics"])
"""Metrics of releases, backups and drills: nobody has run one on this system."""
UNASKED = ("superagent_agent_duration_seconds", "superagent_answer_quality_score")
"""Nor has anybody talked to an agent, or had answers scored."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The system, its receiver of alerts, and what its clients use."""

    place: Layout
    hook: Webhook
    ports: dict[str, int]
    key: str

    def ask(self, model: str) -> int:
        """Status of one completion."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.ports['api']}/v1/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    def query(self, expr: str) -> list[dict[str, Any]]:
        words = urllib.parse.urlencode({"query": expr})
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/query?{words}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except OSError:  # it was started a moment ago
            return []
        return found

    def arrives(self, *alerts: str, seconds: float) -> None:
        wanted = {f"SuperAgent{name}" for name in alerts}
        wait_until(lambda: wanted <= self.hook.firing(), f"{wanted} arrived", seconds)

    def stop(self, *names: str) -> None:
        supervision.stop_all(names, self.place)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    if parts.find("prometheus") is None or parts.find("alertmanager") is None:
        pytest.skip("Prometheus or Alertmanager is not here: `python -m infra.local.packages` says why")
    home = tmp_path_factory.mktemp("alerts")
    (home / "providers.json").write_text(json.dumps(PROVIDERS))
    superagent = SuperAgent(home / "state")
    with webhook() as hook:
        more = {
            "SUPERAGENT_PROVIDERS_FILE": str(home / "providers.json"),
            "SUPERAGENT_ALERT_WEBHOOK": hook.url,
        }
        said = json.loads(superagent.must("up", "--json", **more))
        place = Layout(superagent.home)
        try:
            hurry(place)
            yield Broken(place, hook, said["ports"], said["admin_key"])
        finally:
            superagent.run("down", "--purge")


def hurry(place: Layout) -> None:
    """Give the system's Prometheus and Alertmanager the committed rules and routes with shorter waits."""
    rules = place.conf / "rules"
    rules.mkdir()
    for path in scrape.RULES.glob("*.yml"):
        document = yaml.safe_load(path.read_text())
        for rule in document["groups"][0]["rules"]:
            if rule.get("for", "0m") != "0m":
                rule["for"] = LONGEST
        (rules / path.name).write_text(yaml.safe_dump(document))
    configuration = yaml.safe_load((place.conf / "prometheus.yml").read_text())
    configuration["rule_files"] = [str(rules / "*.yml")]
    (place.conf / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    routing = yaml.safe_load((place.conf / "alertmanager.yml").read_text())
    for route in (routing["route"], *routing["route"]["routes"]):
        route |= {"group_wait": "2s", "group_interval": "5s"}
    (place.conf / "alertmanager.yml").write_text(yaml.safe_dump(routing))
    supervision.stop_all(["prometheus", "alertmanager"], place)
    supervision.start_all(["prometheus", "alertmanager"], place)


@pytest.fixture(scope="module", autouse=True)
def load(broken: Broken) -> Iterator[None]:
    """A few requests a second, bounded in number, until the module ends."""
    over = threading.Event()

    def work() -> None:
        for turn in range(2000):
            if over.wait(0.3):
                return
            broken.ask(("both", "good/lorem", "bad/lorem", "no-such-model")[turn % 4])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(30)


def test_every_panel_has_data_under_load(broken: Broken) -> None:
    """All but the tools' own metrics, and the annotations, which must be silent on a system that is well."""
    asked = [
        (where, expr)
        for where, expr in expressions()
        if not any(name in expr for name in (*TOOLS, *UNASKED)) and "ALERTS" not in expr
    ]
    assert len(asked) > 50

    def missing() -> list[str]:
        return [where for where, expr in asked if not broken.query(expr)]

    wait_until(lambda: not missing(), f"data for {missing()}", 90)


def test_every_rule_is_evaluated_and_every_recording_has_data(broken: Broken) -> None:
    url = f"http://127.0.0.1:{broken.ports['prometheus']}/api/v1/rules"

    def evaluated() -> list[dict[str, Any]]:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] == "ok" for rule in evaluated()), "every rule is evaluated", 60)
    rules = evaluated()
    assert len(rules) == sum(len(group.rules) for group in GROUPS.values())
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    wait_until(lambda: all(broken.query(name) for name in recorded), "every recording has data", 60)


def test_the_exporters_have_the_metrics_and_labels_of_the_table(broken: Broken) -> None:
    for job, entry in exporters().items():
        if not entry.get("live"):
            continue
        for metric, labels in entry["metrics"].items():
            found = broken.query(f'{metric}{{job="{job}"}}')
            assert found, f"{job} has no {metric}"
            has = {label for one in found for label in one["metric"]}
            own = {"__name__", "environment", "instance", "job"}
            assert set(labels) <= has, f"{metric} has {has}"
            assert has - own >= set(entry["target_labels"]), f"{metric} has {has}"


def test_the_watchdog_arrives_while_all_is_well(broken: Broken) -> None:
    wait_until(lambda: "Watchdog" in broken.hook.firing(), "the heartbeat arrived", 60)


def test_a_failing_provider_and_a_lost_cache_are_told(broken: Broken) -> None:
    broken.stop("valkey", "redis_exporter")
    broken.arrives("ProviderDown", "RedisDown", seconds=240)
    assert broken.ask("good/lorem") == 200, "the rest goes on"


def test_a_lost_database_is_told_and_answers_go_on(broken: Broken) -> None:
    broken.stop("postgres")
    broken.arrives("DatabaseConnectionFailures", seconds=180)
    assert broken.ask("good/lorem") == 200


def test_what_lasts_is_told_more_urgently(broken: Broken) -> None:
    """A quarter of the requests asks for a provider that always fails; one exporter is gone."""
    broken.arrives("ErrorRatioHigh", "AvailabilityBudgetBurnFast", "MonitoringTargetDown", seconds=240)
    jobs = {one["labels"]["job"] for one in broken.hook.alerts if "Monitoring" in one["labels"]["alertname"]}
    assert "redis" in jobs


def test_a_dead_service_is_told(broken: Broken) -> None:
    broken.stop("blue-1", "blue-2")
    broken.arrives("ServiceDown", seconds=180)
    assert broken.ask("good/lorem") in (0, 502, 503)


def test_what_recovers_is_told_too(broken: Broken) -> None:
    supervision.start_all(["postgres", "valkey", "blue-1", "blue-2"], broken.place)
    wait_until(
        lambda: {"SuperAgentServiceDown", "SuperAgentDatabaseConnectionFailures"} <= broken.hook.resolved(),
        "the recovery arrived",
        400,
    )
