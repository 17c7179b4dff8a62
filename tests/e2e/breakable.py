"""A system whose alerts are told within seconds, and the handles by which tests break it.

Expressions, labels, texts and routes are the committed ones. Only waiting is shorter: rules are evaluated
every second, none lasts longer than `LASTS` before it fires, and Alertmanager groups for a second. How long
things really last is promtool's to check (alerts/tests).
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import psycopg
import redis
import yaml

from infra.local import parts, scrape, supervision
from infra.local.layout import Layout
from infra.local.slots import ADDRESSES
from infra.recovery import manifest
from tests.e2e.commands import SuperAgent
from tests.e2e.pour import Address, pour
from tests.e2e.upstreams import Upstreams, upstreams
from tests.parts import wait_until
from tests.webhook import Webhook, webhook

LASTS = "2s"
MOST_CONNECTIONS = 40
"""Of its Postgres: less than a default, so that they can all be taken."""
NEEDED = ("prometheus", "alertmanager", "node_exporter", "postgres_exporter", "redis_exporter")


@dataclass(slots=True)
class Broken:
    """The system, its providers, the receiver of its alerts."""

    superagent: SuperAgent
    place: Layout
    hook: Webhook
    upstreams: Upstreams
    ports: dict[str, int]
    key: str
    settings: dict[str, str]
    """Of the service; every command that starts one needs them."""
    asked: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def api(self) -> Address:
        return "127.0.0.1", self.ports["api"]

    def prometheus(self, what: str, **words: Any) -> Any:
        """A resource of its Prometheus."""
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{what}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def slot(self, name: str) -> Address:
        """A process's own address: `blue-1`."""
        colour, _, number = name.partition("-")
        return ADDRESSES[colour][int(number) - 1], self.ports["service"]  # type: ignore[index]

    def pour(self, bodies: Iterable[dict[str, Any]], at: Address | None = None, **more: Any) -> Counter[int]:
        """How many of these requests had which status; through the load balancer, or `at` one process."""
        return pour(at or self.api, more.pop("key", self.key), bodies, **more)

    def fresh(self, count: int, words: str = "say") -> list[str]:
        """Texts that nobody asked before."""
        self.asked += count
        return [f"{words} {number}" for number in range(self.asked - count, self.asked)]

    def query(self, expr: str, **span: Any) -> list[dict[str, Any]]:
        """What Prometheus answers now, or over `start`, `end`, `step`."""
        what = "query_range" if span else "query"
        found: list[dict[str, Any]] = self.prometheus(what, query=expr, **span)["result"]
        return found

    def number(self, expr: str) -> float:
        """The largest value of an expression; NaN while it has none."""
        return max((float(one["value"][1]) for one in self.query(expr)), default=math.nan)

    def seen(self, selector: str, series: int) -> None:
        """Wait until Prometheus knows so many series."""
        wait_until(lambda: len(self.query(selector)) >= series, f"{series} series of {selector}", 60)

    def firing(self, **labels: str) -> set[str]:
        """Names of the alerts with these labels of which the last word was that they fire."""
        last = {
            json.dumps(one["labels"], sort_keys=True): one
            for one in self.hook.alerts
            if labels.items() <= one["labels"].items()
        }
        return {one["labels"]["alertname"] for one in last.values() if one["status"] == "firing"}

    def arrive(self, names: set[str], seconds: float, **labels: str) -> None:
        wait_until(
            lambda: names <= self.firing(**labels), f"{names - self.firing(**labels)} arrived", seconds
        )

    def stop(self, *names: str) -> None:
        supervision.stop_all(names, self.place)

    def start(self, *names: str) -> None:
        supervision.start_all(names, self.place)

    def reload(self) -> None:
        """Let Alertmanager and Prometheus read their configuration again.

        Prometheus forgets its Alertmanagers meanwhile: what fires before it finds them is told late.
        """
        loaded = "prometheus_config_last_reload_success_timestamp_seconds"
        wait_until(lambda: self.number(loaded) > 0, "Prometheus scrapes itself")
        before = self.number(loaded)
        for part in ("alertmanager", "prometheus"):
            os.kill(supervision.processes(self.place)[part].pid, signal.SIGHUP)
        wait_until(lambda: self.number(loaded) > before, "the configuration is loaded")
        wait_until(lambda: self.prometheus("alertmanagers")["activeAlertmanagers"], "Alertmanager is found")

    def database(self) -> psycopg.Connection[Any]:
        """A session of Postgres' superuser in the service's database."""
        url = self.place.secret("database_admin_url").read_text()
        return psycopg.connect(url, dbname="superagent", autocommit=True)

    def cache(self) -> redis.Redis:
        """A client of its Valkey."""
        return redis.Redis.from_url(self.place.secret("redis_url").read_text())

    def rot(self) -> None:
        """Let the one backup of Postgres no longer be what its manifest says."""
        outputs = json.loads(self.place.outputs.read_text())
        s3: Any = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.ports['aws']}", region_name=outputs["region"],
            aws_access_key_id="local", aws_secret_access_key="local",
        )  # fmt: skip
        (bucket,) = [one["Name"] for one in s3.list_buckets()["Buckets"] if "backup" in one["Name"]]
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        (key,) = [one for one in keys if "/postgres/" in one and one.endswith("/manifest.json")]
        stored = manifest.decode(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), key)
        archive = stored.archives[0]
        other = replace(archive.segments[0], sha256=archive.segments[0].sha256[::-1])
        archives = (replace(archive, segments=(other, *archive.segments[1:])), *stored.archives[1:])
        s3.put_object(Bucket=bucket, Key=key, Body=manifest.encode(replace(stored, archives=archives)))

    def aged(self, tool: str, hours: float, environment: str = "local") -> None:
        """What a tool told, as it will stand there when nobody has run it for so long."""
        text = (self.place.metrics / f"superagent_{tool}_local.prom").read_text()
        text = text.replace('environment="local"', f'environment="{environment}"')

        def older(found: re.Match[str]) -> str:
            return f"{found[1]}{float(found[2]) - hours * 3600}"

        text = re.sub(r"(?m)^(superagent_\w+_timestamp_seconds\{.*\} )(\S+)$", older, text)
        (self.place.metrics / f"superagent_{tool}_{environment}.prom").write_text(text)


@contextmanager
def broken_system(home: Path) -> Iterator[Broken]:
    """A running system that can be broken; gone afterwards."""
    superagent = SuperAgent(home / "state")
    place = Layout(superagent.home)
    tuning = place.conf / "postgres.d"
    tuning.mkdir(parents=True)
    (tuning / "test.conf").write_text(f"max_connections = {MOST_CONNECTIONS}\n")
    with webhook() as hook, upstreams() as providers:
        settings = {
            "SUPERAGENT_PROVIDERS_FILE": str(providers.configuration(home)),
            "SUPERAGENT_QUALITY_SAMPLE": "1",
        }
        try:
            said = json.loads(superagent.must("up", "--json", SUPERAGENT_ALERT_WEBHOOK=hook.url, **settings))
            _hurry(place)
            found = Broken(superagent, place, hook, providers, said["ports"], said["admin_key"], settings)
            found.reload()
            yield found
        finally:
            superagent.run("down", "--purge")


def missing() -> list[str]:
    """Programs of the monitoring that cannot be had here."""
    return [name for name in NEEDED if parts.find(name) is None]


def _hurry(place: Layout) -> None:
    rules = place.conf / "rules"
    rules.mkdir()
    for path in scrape.RULES.glob("*.yml"):
        document = yaml.safe_load(path.read_text())
        (group,) = document["groups"]
        group["interval"] = "1s"
        for rule in group["rules"]:
            if rule.get("for", "0m") != "0m":
                rule["for"] = LASTS
        (rules / path.name).write_text(yaml.safe_dump(document))
    configuration = yaml.safe_load((place.conf / "prometheus.yml").read_text())
    configuration["rule_files"] = [str(rules / "*.yml")]
    configuration["global"] = {"scrape_interval": "2s", "evaluation_interval": "1s"}
    (place.conf / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    routing = yaml.safe_load((place.conf / "alertmanager.yml").read_text())
    for route in (routing["route"], *routing["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s"}
    (place.conf / "alertmanager.yml").write_text(yaml.safe_dump(routing))
