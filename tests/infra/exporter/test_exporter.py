"""The exporter as the collector meets it: a real Prometheus scrapes it with the job of the stack."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from infra.errors import OperationFailed
from infra.exporter.command import server
from infra.exporter.page import FORGET_SECONDS, Page, Remembered, Unknown
from infra.recovery import facts
from infra.recovery.context import Context
from infra.recovery.store import Store
from infra.release.lease import Lease
from infra.release.state import Phase
from infra.release.telemetry import Ledger
from infra.stack.bootstrap import collector
from infra.stack.environment import Environment
from infra.stack.outputs import StackOutputs
from tests.infra.recovery.conftest import Cloud
from tests.infra.recovery.conftest import cloud as cloud
from tests.infra.recovery.conftest import quick_s3 as quick_s3
from tests.infra.recovery.faulty import proxy
from tests.infra.recovery.test_facts import make, verified
from tests.infra.release.test_plan import RUN
from tests.infra.release.world import FakeClock
from tests.infra.stack.test_bootstrap import WITH_JOBS
from tests.monitoring import tool
from tests.parts import REGION, free_port, wait_until

pytestmark = pytest.mark.component


def place(cloud: Cloud, endpoint: str) -> Context:
    """The environment `prod` on this cloud."""
    named = dict.fromkeys(("vpc_id", "alb_arn", "alb_dns_name", "listener_arn", "test_listener_arn"), "x")
    outputs = StackOutputs(
        environment="prod", region=REGION, compute="ec2", target_group_arns={}, image_parameters={},
        release_table="release", backup_bucket=cloud.store.bucket, database_pointer="/p",
        alert_topic_arn="x", **named,  # type: ignore[arg-type]
    )  # fmt: skip
    return Context(Environment(outputs, endpoint), cloud.store)


@contextmanager
def serving(page: Page) -> Iterator[ThreadingHTTPServer]:
    made = server(page, "127.0.0.1", 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def get(made: ThreadingHTTPServer, path: str = "/metrics") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{made.server_address[1]}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_a_new_environment_has_a_page_without_ages(cloud: Cloud, moto_endpoint: str) -> None:
    with serving(Page(place(cloud, moto_endpoint))) as made:
        status, page = get(made)
        assert get(made, "/")[0] == 404
    assert status == 200
    assert 'superagent_backup_failures_total{environment="prod",kind="postgres"} 0.0' in page
    assert 'superagent_release_in_progress{environment="prod"} 0.0' in page
    assert "_timestamp_seconds{" not in page


def test_a_kind_that_nothing_backs_up_in_aws_has_no_age(cloud: Cloud, moto_endpoint: str) -> None:
    """Somebody made one by hand, once: retention keeps it for ever, and its age would page for ever."""
    for number, kind in enumerate(("postgres", "redis", "config")):
        verified(cloud.store, make(cloud.store, number, datetime.now(UTC) - timedelta(days=9), kind))
    with serving(Page(place(cloud, moto_endpoint))) as made:
        status, page = get(made)
    assert status == 200
    ages = re.findall(r"superagent_backup_last_(\w+)_timestamp_seconds\{.*kind=\"(\w+)\"", page)
    assert {kind for _, kind in ages} == {"postgres", "config"}


def test_a_bucket_that_is_gone_is_a_failed_scrape_and_never_an_empty_page(
    cloud: Cloud, moto_endpoint: str, quick_s3: Callable[[str], Any]
) -> None:
    make(cloud.store, 1, datetime.now(UTC))
    with proxy(moto_endpoint) as between:
        between.decide = lambda number, call: "500"
        away = replace(place(cloud, moto_endpoint), store=Store(quick_s3(between.url), cloud.store.bucket))
        with serving(Page(away)) as made:
            status, why = get(made)
    assert status == 503
    assert why.startswith("backups: Could not list bucket")


def test_a_source_that_fails_is_told_as_it_was_for_a_while_and_then_not_at_all() -> None:
    now, up = [0.0], [True]

    def read() -> int:
        if not up[0]:
            raise OperationFailed("S3 is away.")
        return int(now[0])

    source = Remembered("backups", read, every=60.0, clock=lambda: now[0])
    assert source.get() == 0
    now[0] = 59.0
    assert source.get() == 0, "not read again yet"
    now[0], up[0] = FORGET_SECONDS - 1, False
    assert source.get() == 0
    now[0] = FORGET_SECONDS
    with pytest.raises(Unknown, match=r"backups: S3 is away\."):
        source.get()
    up[0] = True
    assert source.get() == FORGET_SECONDS


def release(cloud: Cloud) -> None:
    """A release that succeeded, driven by a machine that is gone."""
    from infra.release.journal import Journal

    dynamodb = cloud.client("dynamodb")
    lease = Lease(dynamodb, "release", "prod", FakeClock(), 10.0, "runner")
    lease.take("release v2")
    run = replace(RUN, environment="prod", phase=Phase.BAKE, weight=50)
    Journal(dynamodb, "release", "prod").create(run, lease)
    Ledger(dynamodb, "release", "prod").count(run)


def test_what_a_newer_tool_wrote_is_a_failed_scrape_with_the_reason(cloud: Cloud, moto_endpoint: str) -> None:
    release(cloud)
    run = json.dumps({**RUN.to_dict(), "phase": "[/hover]"})
    cloud.table.update_item(
        Key={"pk": "release#prod", "sk": f"run#{RUN.run_id}"},
        UpdateExpression="set #run = :run",
        ExpressionAttributeNames={"#run": "run"},
        ExpressionAttributeValues={":run": run},
    )
    with serving(Page(place(cloud, moto_endpoint))) as made:
        assert get(made) == (503, "releases: ValueError: '[/hover]' is not a valid Phase\n")


def test_prometheus_gets_them_with_the_job_of_the_stack_and_an_alert_fires_on_a_job_that_stopped_running(
    cloud: Cloud, moto_endpoint: str, tmp_path: Path
) -> None:
    verified(cloud.store, make(cloud.store, 1, datetime.now(UTC) - timedelta(hours=27)))
    facts.count_failure(cloud.table, "postgres")
    release(cloud)
    job = collector(WITH_JOBS)["receivers"]["prometheus"]["config"]["scrape_configs"][1]
    with serving(Page(place(cloud, moto_endpoint))) as made:
        assert job["static_configs"][0]["targets"] == ["127.0.0.1:9110"]
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{made.server_address[1]}"]
        job["scrape_interval"] = "1s"
        with prometheus(job, tmp_path) as ask:
            ages = "time() - superagent_backup_last_verified_timestamp_seconds"
            wait_until(lambda: ask(ages) != [], "a scrape")
            (age,) = ask(ages)
            assert age["metric"] == {
                "environment": "prod", "kind": "postgres", "job": "tools",
                "instance": job["static_configs"][0]["targets"][0],
            }  # fmt: skip
            assert 27 * 3600 <= float(age["value"][1]) < 28 * 3600
            weights = ask("max by (environment, colour) (superagent_release_weight)")
            assert [{**one["metric"], "weight": one["value"][1]} for one in weights] == [
                {"environment": "prod", "colour": "blue", "weight": "50"},
                {"environment": "prod", "colour": "green", "weight": "50"},
            ]
            (moved,) = ask("superagent_release_transitions_total")
            assert (moved["metric"]["step"], moved["metric"]["outcome"]) == ("bake", "success")
            alerts = "ALERTS{alertname=~'SuperAgentBackup.*'}"
            wait_until(lambda: len(ask(alerts)) == 1, "an alert on the age")
            assert ask(alerts)[0]["metric"]["alertname"] == "SuperAgentBackupUnverified"


@contextmanager
def prometheus(job: dict[str, Any], folder: Path) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """A real Prometheus with this job and the committed critical alerts; a function that asks it."""
    rules = yaml.safe_load((Path(__file__).parents[3] / "alerts/rules/critical.yml").read_text())
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {"global": {"evaluation_interval": "1s"}, "rule_files": ["rules.yml"], "scrape_configs": [job]}
        )
    )
    port = free_port()
    process = subprocess.Popen(
        [
            tool("prometheus"), f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(query: str) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': query, 'time': time.time()})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except OSError:
            return []
        return sorted(found, key=lambda one: sorted(one["metric"].items()))

    try:
        yield ask
    finally:
        process.terminate()
        process.wait(30)
