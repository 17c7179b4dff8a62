"""Break the running system in each alert's way and see it arrive at a webhook through Alertmanager.

One system, broken further and further, in this order: an alert that silences others comes after them. How it
is hurried: tests/e2e/breakable.py; who silences whom: tests/alerts/test_inhibition.py.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
import redis
import yaml

from alerts.groups import GROUPS
from tests.e2e.breakable import Broken, broken_system, missing
from tests.e2e.driven import drives
from tests.e2e.everything import everything_once, silent
from tests.e2e.pour import completion
from tests.parts import wait_until
from tests.promql import exporters

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    if lacking := missing():
        pytest.skip(f"{', '.join(lacking)} not here: `python -m infra.local.packages` says why")
    with broken_system(tmp_path_factory.mktemp("alerts")) as found:
        yield found


# --- a system that does everything once, slowly at first


def test_the_watchdog_arrives_while_all_is_well(broken: Broken) -> None:
    broken.arrive({"Watchdog"}, 60)


def test_the_first_requests_are_counted(broken: Broken) -> None:
    """Rates begin with the second look at a series, so each process is asked once before the breaking."""
    for name in ("blue-1", "blue-2"):
        assert broken.pour([completion(text) for text in broken.fresh(1)], broken.slot(name)) == {200: 1}
    broken.seen('superagent_http_requests_total{path="/v1/chat/completions"}', 2)


@drives("LatencyElevated")
def test_slow_answers_are_told(broken: Broken) -> None:
    assert broken.pour([completion(text) for text in broken.fresh(16, "wait 6")]) == {200: 16}


@drives("LatencyHigh", "LatencyBudgetBurnFast")
def test_very_slow_answers_are_told_more_urgently_and_backups_go_on(broken: Broken) -> None:
    bodies = [completion(text) for text in broken.fresh(40, "wait 10.5")]
    slow = threading.Thread(target=broken.pour, args=(bodies,), kwargs={"connections": 40})
    slow.start()
    for words in (("backup", "create"), ("backup", "verify"), ("drill",)):
        broken.superagent.must(*words)
    slow.join()


@drives("InstanceDown", slot="blue-2")
def test_a_dead_process_is_told(broken: Broken) -> None:
    broken.stop("blue-2")


@drives("ConfigurationChanged")
def test_a_process_that_restarts_is_told_and_its_recovery_too(broken: Broken) -> None:
    broken.start("blue-2")
    wait_until(lambda: "SuperAgentInstanceDown" in broken.hook.resolved(), "the recovery arrived", 120)


@drives("DeploymentRunning")
@drives("VersionChanged", version="v2", colour="green")
def test_a_release_is_told(broken: Broken) -> None:
    words = ("release", "start", "--version", "v2", "--steps", "50,100", "--bake", "2s")
    broken.notes["release"] = broken.superagent.start(*words, **broken.settings)


def test_every_panel_shows_a_number_while_it_is_released(broken: Broken) -> None:
    """No expression of any dashboard is left out, and NaN is no number."""
    since = time.time() - 60
    empty = ["not looked yet"]

    def all_show() -> bool:
        everything_once(broken)
        empty[:] = silent(broken, since)
        return not empty

    with contextlib.suppress(AssertionError):
        wait_until(all_show, "every panel shows a number", 120)
    assert not empty, "\n".join(empty)
    output, complaint = broken.notes["release"].communicate(timeout=200)
    assert broken.notes["release"].returncode == 0, output + complaint


def test_every_rule_is_evaluated_and_every_recording_has_data(broken: Broken) -> None:
    rules = [rule for group in broken.prometheus("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == sum(len(group.rules) for group in GROUPS.values())
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    assert [name for name in recorded if math.isnan(broken.number(name))] == []


def test_the_exporters_have_the_metrics_and_labels_of_the_table(broken: Broken) -> None:
    live = {job: entry for job, entry in exporters().items() if entry.get("live")}
    for job, entry in live.items():
        for metric, labels in entry["metrics"].items():
            found = broken.query(f'{metric}{{job="{job}"}}')
            has = {label for one in found for label in one["metric"]}
            assert {*labels, *entry["target_labels"]} <= has, f"{job}: {metric} has {has or 'no series'}"


# --- what was not backed up, verified or rehearsed


@drives("BackupMissing", "DrillMissing", environment="prod")
def test_production_without_a_backup_is_told(broken: Broken) -> None:
    (target,) = {one["metric"]["instance"] for one in broken.query('up{slot="green-1"}')}
    group = {"targets": [target], "labels": {"colour": "green", "environment": "prod"}}
    (broken.place.targets / "prod.json").write_text(json.dumps([group]))


@drives("BackupUnverified", environment="prod")
@drives("BackupStale", "DrillOverdue", environment="local")
def test_what_nobody_did_for_too_long_is_told(broken: Broken) -> None:
    broken.aged("backup", 27, "prod")
    broken.aged("backup", 27)
    broken.aged("drill", 9 * 24)


@drives("ServiceAbsent", environment="prod")
def test_targets_that_vanish_are_told(broken: Broken) -> None:
    (broken.place.targets / "prod.json").unlink()


@drives("DrillFailed")
def test_a_backup_that_is_not_what_its_manifest_says_is_told(broken: Broken) -> None:
    broken.rot()
    done = broken.superagent.run("drill")
    assert (done.returncode, "is damaged" in " ".join(done.stderr.split())) == (1, True), done.stderr


# --- errors: of 500 requests one, then more and more


@drives("AvailabilityBudgetBurnSlow", "CacheHitRateLow")
def test_one_error_among_hundreds_is_a_ticket(broken: Broken) -> None:
    assert broken.pour([completion(text) for text in broken.fresh(600)]) == {200: 600}
    fail(broken, 1)
    broken.seen('superagent_http_requests_total{status=~"5.."}', 1)
    fail(broken, 2)


def fail(broken: Broken, count: int) -> None:
    """Each error is followed by an answer, so that no breaker opens and turns it into another status."""
    texts = zip(broken.fresh(count, "fail"), broken.fresh(count), strict=True)
    bodies = [completion(text, "two/gpt-fake") for pair in texts for text in pair]
    found = broken.pour(bodies, broken.slot("green-1"), connections=1)
    assert found == {200: count, 502: count}


@drives("AvailabilityBudgetBurnFast")
def test_a_hundredth_of_errors_spends_the_budget_fast(broken: Broken) -> None:
    fail(broken, 9)


@drives("ErrorRatioElevated")
def test_more_errors_are_told(broken: Broken) -> None:
    fail(broken, 45)


@drives("ErrorRatioHigh")
def test_many_errors_are_told_more_urgently(broken: Broken) -> None:
    fail(broken, 60)


@drives("SecurityBreachPattern")
def test_many_wrong_keys_look_like_an_attack(broken: Broken) -> None:
    bodies = [completion("let me in")] * 1200
    wrong = broken.pour(bodies, broken.slot("green-1"), key="sk-guessed", source="127.0.0.99")
    assert set(wrong) == {401, 429}


# --- stores and monitoring, each nearly full or not quite there


@drives("PostgresConnectionsHigh")
def test_taken_connections_are_told(broken: Broken) -> None:
    broken.notes["sessions"] = sessions = []
    while True:
        try:
            sessions.append(psycopg.connect(broken.place.secret("database_url").read_text()))
        except psycopg.OperationalError:  # there are no more
            break
    for one in sessions[:2]:  # the service may need one
        one.close()


@drives("RedisMemoryHigh")
def test_a_full_cache_is_told(broken: Broken) -> None:
    for one in broken.notes.pop("sessions"):
        one.close()
    with broken.cache() as client:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 4_000_000)
        for number in range(60):
            with contextlib.suppress(redis.exceptions.OutOfMemoryError):  # that is how full it is
                client.set(f"filling:{number}", b"x" * 70_000)


@drives("MonitoringTargetDown", job="redis")
@drives("NotificationsFailing", integration="webhook")
@drives("RuleEvaluationFailing")
def test_monitoring_that_is_broken_itself_is_told(broken: Broken) -> None:
    with broken.cache() as client:
        client.config_set("maxmemory", "256mb")
    twice = {"record": "fails", "expr": "up * on (environment) group_left () (up == 0)"}  # if two are down
    rules = {"groups": [{"name": "broken", "interval": "1s", "rules": [twice]}]}
    (broken.place.conf / "rules" / "broken.yml").write_text(yaml.safe_dump(rules))
    broken.reload()
    broken.hook.refuses = True
    broken.stop("redis_exporter", "blackbox_exporter")
    failures = 'increase(alertmanager_notifications_failed_total{integration="webhook"}[15m])'
    wait_until(lambda: broken.number(failures) > 0, "a notification failed", 60)
    broken.hook.refuses = False


@drives("PostgresDown")
def test_an_exporter_that_may_not_log_in_is_told(broken: Broken) -> None:
    broken.start("blackbox_exporter")
    with broken.database() as session:
        session.execute("alter role postgres password 'another'")
        session.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'postgres' and pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
        broken.arrive({"SuperAgentPostgresDown"}, 60)
        password = broken.place.secret("postgres_password").read_text().strip()
        session.execute(f"alter role postgres password '{password}'")


@drives("UsageJournalGrowing")
def test_usage_that_cannot_be_written_down_is_told(broken: Broken) -> None:
    with broken.database() as session:
        session.execute("alter table usage rename column model to not_any_more")
        known = completion("say it again")
        assert broken.pour([known] * 10_100, broken.slot("green-1")) == {200: 10_100}
        broken.arrive({"SuperAgentUsageJournalGrowing"}, 60)
        session.execute("alter table usage rename column not_any_more to model")


# --- what dies


@drives("RedisDown")
def test_a_lost_cache_is_told(broken: Broken) -> None:
    broken.stop("valkey")


@drives("DatabaseConnectionFailures", "BackupFailed")
def test_a_lost_database_is_told_and_answers_go_on(broken: Broken) -> None:
    broken.stop("postgres")
    assert broken.superagent.run("backup", "create", "--only", "postgres").returncode == 1
    assert broken.pour([completion(text) for text in broken.fresh(5)]) == {200: 5}


@drives("BreakerOpen", provider="two")
def test_a_provider_that_fails_at_one_process_is_told(broken: Broken) -> None:
    bodies = [completion(text, "two/gpt-fake") for text in broken.fresh(6, "fail")]
    broken.pour(bodies, broken.slot("green-1"), connections=1)


@drives("ProviderDown", provider="one")
def test_a_provider_that_is_gone_is_told_and_the_other_answers(broken: Broken) -> None:
    broken.upstreams.kill("one")
    bodies = [completion(text) for text in broken.fresh(5)]
    assert broken.pour(bodies, broken.slot("green-2")) == {200: 5}


@drives("ProvidersUnavailable")
def test_no_provider_left_is_told(broken: Broken) -> None:
    broken.upstreams.kill("two")


@drives("EndpointUnreachable")
def test_a_dead_load_balancer_is_told(broken: Broken) -> None:
    broken.stop("envoy")


@drives("ServiceDown")
def test_a_dead_service_is_told(broken: Broken) -> None:
    broken.stop("green-1", "green-2")
