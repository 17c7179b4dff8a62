"""Every line of the checklist, driven to each of its outcomes."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from infra.check import collect
from infra.check.commands import check
from infra.check.facts import (
    Backup,
    Drill,
    Facts,
    Listener,
    Missing,
    Program,
    Quota,
    Release,
    Secret,
    Traffic,
)
from infra.check.rules import CHECKS, exit_code, judge

NOW = datetime(2026, 11, 23, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HTTPS = Listener(443, "HTTPS", "ELBSecurityPolicy-TLS13-1-2-2021-06", False)
REDIRECT = Listener(80, "HTTP", "", True)
DATABASE = {"multi_az": True, "protected": True, "encrypted": True, "final_snapshot": True}
PROGRAM = Program((), 6000, DATABASE, 240)
FRESH = Backup(NOW - 3 * HOUR, NOW - 3 * HOUR)
RELEASE = Release("v2", "succeeded", True, "", (5, 25, 50, 100))
GOOD = Facts(
    environment="prod",
    local=False,
    now=NOW,
    program=PROGRAM,
    listeners=(REDIRECT, HTTPS),
    certificate_ends=NOW + 200 * DAY,
    front_status=401,
    limiter=True,
    targets=dict.fromkeys(("superagent", "node", "postgres", "redis", "blackbox"), (2, 2)),
    watchdog=True,
    firing=(),
    receivers=("email", "https"),
    backups={"postgres": FRESH, "config": FRESH},
    drill=Drill(NOW - 6 * DAY, True, 3600, 420),
    traffic=Traffic({"blue": 0, "green": 100}, {"blue": (0, 0), "green": (3, 3)}),
    release=RELEASE,
    secrets=(Secret("superagent/prod/providers", NOW - 30 * DAY, False),),
    quotas=(Quota("on-demand vCPUs", 240, 256),),
)
GONE = Missing("AccessDenied")

# check, changed facts, word, part of the evidence, part of the fix
CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("policy", {"program": dataclasses.replace(PROGRAM, findings=("a bucket is open",))}, "fail",
     "1 broken, the first: a bucket is open", "superagent preview"),
    ("policy", {"program": GONE}, "unknown", "AccessDenied", "stack's file"),
    ("tls", {"listeners": (HTTPS, Listener(8080, "HTTP", "", False))}, "fail", "port 8080 serves plain", "up"),
    ("tls", {"listeners": (Listener(443, "HTTPS", "ELBSecurityPolicy-2016-08", False),)}, "fail", "2016-08", "TLS"),
    ("tls", {"listeners": (REDIRECT,)}, "fail", "no listener speaks HTTPS", "pulumi up"),
    ("tls", {"listeners": GONE}, "unknown", "AccessDenied", "Describe"),
    ("tls", {"certificate_ends": NOW + 20 * DAY}, "fail", "ends in 20 days", "ACM"),
    ("tls", {"certificate_ends": NOW + 21 * DAY}, "pass", "lasts 21 days", ""),
    ("tls", {"certificate_ends": None}, "fail", "no certificate", "ACM"),
    ("tls", {"certificate_ends": GONE}, "unknown", "AccessDenied", "front door"),
    ("tls", {"local": True, "listeners": (Listener(8080, "HTTP", "", False),)}, "pass", "loopback", ""),
    ("auth", {"front_status": 200}, "fail", "gets 200", "listener"),
    ("auth", {"front_status": 403}, "fail", "gets 403", "listener"),
    ("auth", {"front_status": 503}, "unknown", "answers 503", "release status"),
    ("auth", {"front_status": GONE}, "unknown", "AccessDenied", "front door"),
    ("limits", {"limiter": False}, "fail", "superagent_rate_limited_total", "Release"),
    ("limits", {"limiter": GONE}, "unknown", "AccessDenied", "monitoring"),
    ("limits", {"program": dataclasses.replace(PROGRAM, waf_rate=None)}, "fail", "no WAF rule", "waf_requests"),
    ("limits", {"program": GONE}, "unknown", "AccessDenied", "stack's file"),
    ("limits", {"local": True, "program": GONE}, "pass", "by key", ""),
    ("monitoring", {"targets": {"superagent": (2, 2)}}, "fail", "node, postgres, redis, blackbox", "Scraping"),
    ("monitoring", {"targets": {**GOOD.targets, "redis": (0, 1)}}, "fail", "redis 0/1", "runbook"),  # type: ignore[dict-item]
    ("monitoring", {"targets": GONE}, "unknown", "AccessDenied", "SUPERAGENT_PROMETHEUS_URL"),
    ("alerts", {"watchdog": False}, "fail", "Watchdog", "alerts/rules"),
    ("alerts", {"watchdog": GONE}, "unknown", "AccessDenied", "monitoring"),
    ("alerts", {"receivers": ()}, "fail", "nobody is told", "superagent:alert_email"),
    ("alerts", {"receivers": (), "local": True}, "fail", "nobody is told", "SUPERAGENT_ALERT_WEBHOOK"),
    ("alerts", {"receivers": GONE}, "unknown", "AccessDenied", "sns:"),
    ("alerts", {"firing": ("SuperAgentServiceDown",)}, "fail", "SuperAgentServiceDown", "runbook"),
    ("database", {"program": dataclasses.replace(PROGRAM, database={**DATABASE, "multi_az": False})}, "fail",
     "not multi az", "superagent:protection"),
    ("database", {"program": dataclasses.replace(PROGRAM, database={})}, "fail", "no database", "database.py"),
    ("database", {"program": GONE}, "unknown", "AccessDenied", "stack's file"),
    ("database", {"local": True, "program": GONE}, "pass", "one Postgres", ""),
    ("backups", {"backups": {"postgres": Backup(None, None)}}, "fail", "no postgres backup", "backup create"),
    ("backups", {"backups": {"postgres": Backup(NOW - 27 * HOUR, NOW)}}, "fail", "27 h old", "backup create"),
    ("backups", {"backups": {"postgres": Backup(NOW, None)}}, "fail", "never", "backup verify --stack prod"),
    ("backups", {"backups": {"postgres": Backup(NOW, NOW - 3 * DAY)}}, "fail", "3 days ago", "backup verify"),
    ("backups", {"backups": {"postgres": Backup(NOW - 26 * HOUR, NOW - 26 * HOUR)}}, "pass", "26 h", ""),
    ("backups", {"backups": {}}, "fail", "no kind", "backup create"),
    ("backups", {"backups": GONE}, "unknown", "AccessDenied", "bucket"),
    ("drill", {"drill": None}, "fail", "never rehearsed", "superagent drill --stack prod"),
    ("drill", {"drill": Drill(NOW - 9 * DAY, True, 1, 1)}, "fail", "9 days ago", "superagent drill"),
    ("drill", {"drill": Drill(NOW - DAY, False, 1, 1)}, "fail", "failed", "report"),
    ("drill", {"drill": GONE}, "unknown", "AccessDenied", "bucket"),
    ("traffic", {"traffic": Traffic({"blue": 0, "green": 0}, {})}, "fail", "no colour", "release start"),
    ("traffic", {"traffic": Traffic({"blue": 100}, {"blue": (2, 3)})}, "fail", "2 of 3", "release status"),
    ("traffic", {"traffic": Traffic({"blue": 100}, {"blue": (0, 0)})}, "fail", "0 of 0", "release status"),
    ("traffic", {"traffic": Traffic({"blue": 100}, {"blue": (1, 1)})}, "fail", "one target", "min_size"),
    ("traffic", {"traffic": GONE}, "unknown", "AccessDenied", "Describe"),
    ("release", {"release": None}, "fail", "nothing was ever released", "release start"),
    ("release", {"release": dataclasses.replace(RELEASE, steps=(100,))}, "fail", "one step", "canary"),
    ("release", {"release": dataclasses.replace(RELEASE, phase="aborted")}, "fail", "ended as aborted", "again"),
    ("release", {"release": dataclasses.replace(RELEASE, phase="paused", ended=False)}, "fail", "paused", "resume"),
    ("release", {"release": dataclasses.replace(RELEASE, phase="bake", ended=False)}, "pass", "is at bake", ""),
    ("release", {"release": dataclasses.replace(RELEASE, forced="in a hurry")}, "fail", "in a hurry", "--force"),
    ("release", {"release": GONE}, "unknown", "AccessDenied", "release table"),
    ("secrets", {"secrets": ()}, "fail", "no secret", "pulumi up"),
    ("secrets", {"secrets": (Secret("a", None, False),)}, "fail", "a has no value", "put-secret-value"),
    ("secrets", {"secrets": (Secret("a", NOW - 91 * DAY, False),)}, "fail", "91 days ago", "Rotation"),
    ("secrets", {"secrets": (Secret("a", NOW - 91 * DAY, True),)}, "pass", "1 secrets", ""),
    ("secrets", {"secrets": (Secret("a", NOW, False, private=False),)}, "fail", "read by others", "chmod 600"),
    ("secrets", {"secrets": GONE}, "unknown", "AccessDenied", "ListSecrets"),
    ("quotas", {"quotas": (Quota("on-demand vCPUs", 240, 64),)}, "fail", "64 allowed, 240", "Service Quotas"),
    ("quotas", {"quotas": GONE}, "unknown", "AccessDenied", "GetServiceQuota"),
]  # fmt: skip


def test_what_is_as_it_should_be_passes_every_check() -> None:
    found = judge(GOOD)
    assert [one.check for one in found if one.word != "pass"] == []
    assert [one.check for one in found] == list(CHECKS)
    assert all(one.evidence and not one.fix for one in found)
    assert exit_code(found) == 0


@pytest.mark.parametrize(("name", "changed", "word", "evidence", "fix"), CASES)
def test_each_check_sees_it(name: str, changed: dict[str, Any], word: str, evidence: str, fix: str) -> None:
    (found,) = judge(dataclasses.replace(GOOD, **changed), [name])
    assert found.word == word, found
    assert evidence in found.evidence
    assert fix in found.fix
    assert bool(found.fix) == (word != "pass")


@pytest.mark.parametrize("name", list(CHECKS))
def test_every_check_can_fail_and_can_be_unable_to_see(name: str) -> None:
    words = {word for check, _, word, _, _ in CASES if check == name}
    assert {"fail", "unknown"} <= words


def test_nothing_seen_is_never_a_pass() -> None:
    found = judge(Facts("prod", False, NOW))
    assert {one.word for one in found} == {"unknown"}
    assert exit_code(found) == 2
    assert all(one.fix for one in found)


def test_whoever_could_not_look_says_what_to_do_about_it() -> None:
    (found,) = judge(dataclasses.replace(GOOD, drill=Missing("not up", "superagent up")), ["drill"])
    assert (found.evidence, found.fix) == ("not up", "superagent up")


@pytest.mark.parametrize(
    ("changed", "code"), [({}, 0), ({"front_status": 200, "drill": GONE}, 1), ({"drill": GONE}, 2)]
)
def test_the_command_ends_as_its_worst_check(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], code: int
) -> None:
    monkeypatch.setattr(collect, "facts", lambda stack: dataclasses.replace(GOOD, **changed))
    done = CliRunner().invoke(check, ["--stack", "prod", "--json"])
    document = json.loads(done.stdout)
    assert done.exit_code == document["exit_code"] == code
    assert [one["check"] for one in document["checks"]] == list(CHECKS)
    shown = CliRunner().invoke(check, ["--stack", "prod"])
    assert shown.exit_code == code
    assert len([line for line in shown.stdout.splitlines() if line[:1] in "✓✗?"]) == len(CHECKS)


def test_one_check_can_be_asked_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "facts", lambda stack: dataclasses.replace(GOOD, front_status=200))
    assert CliRunner().invoke(check, ["--only", "drill"]).exit_code == 0
    assert CliRunner().invoke(check, ["--only", "auth"]).exit_code == 1
    assert CliRunner().invoke(check, ["--only", "coffee"]).exit_code == 2


def test_an_unknown_stack_is_refused() -> None:
    done = CliRunner().invoke(check, ["--stack", "production"])
    assert done.exit_code == 2
    assert "local, dev, staging, prod" in done.stderr
