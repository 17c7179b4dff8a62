"""What cannot be seen says why; what the program and the local files say is what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.check import collect, here
from infra.check.collect import look
from infra.check.facts import Missing
from infra.check.program import program
from infra.errors import OperationFailed, UserError
from infra.local.layout import Layout
from infra.policy.model import Resource
from infra.preview.estate import Recorded


def refused(code: str) -> Callable[[], Any]:
    from botocore.exceptions import ClientError

    def ask() -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "secret words"}}, "ListSecrets")

    return ask


def raised(error: Exception) -> Callable[[], Any]:
    def ask() -> Any:
        raise error

    return ask


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (refused("AccessDeniedException"), Missing("ListSecrets: AccessDeniedException")),
        (raised(UserError("It is not up.", "Start it.")), Missing("It is not up", "Start it.")),
        (raised(OperationFailed("broken")), Missing("broken")),
        (raised(ConnectionRefusedError("no")), Missing("ConnectionRefusedError: no")),
        (lambda: 7, 7),
    ],
)
def test_what_cannot_be_seen_says_why(at: Callable[[], Any], why: object) -> None:
    assert look(at) == why


def test_a_system_that_is_not_up_has_nothing_to_see_and_that_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERAGENT_HOME", str(tmp_path))
    monkeypatch.setattr(collect, "Recording", lambda *_: SimpleNamespace(result=lambda: None))
    monkeypatch.setattr(collect, "_program", lambda *_: {})
    found = collect.facts("local")
    assert found.drill == Missing("The local system is not up", "Start it with `superagent up`.")


def test_the_program_tells_rates_database_and_need() -> None:
    overrides = [{"instanceType": "c7i.xlarge"}, {"instanceType": "c7i.2xlarge"}]
    resources = [
        Resource("aws:wafv2/webAcl:WebAcl", "waf", "u1", {"rules": [
            {"statement": {"managedRuleGroupStatement": {}}},
            {"statement": {"rateBasedStatement": {"limit": 6000}}},
        ]}),
        Resource("aws:rds/instance:Instance", "primary", "u2", {
            "multiAz": True, "deletionProtection": True, "storageEncrypted": True, "skipFinalSnapshot": True,
        }, protect=True),
        *(Resource("aws:autoscaling/group:Group", colour, colour, {"maxSize": 30, "mixedInstancesPolicy": {
            "launchTemplate": {"overrides": overrides},
        }}) for colour in ("blue", "green")),
    ]  # fmt: skip
    whole = Recorded("dev", {one.urn: one for one in resources}, {}, frozenset(), {})
    found = program(whole, lambda name: {"c7i.xlarge": 4, "c7i.2xlarge": 8}[name])
    assert found.waf_rate == 6000
    assert found.database == {"multi_az": True, "protected": True, "encrypted": True, "final_snapshot": False}
    assert found.needed_vcpus == 2 * 30 * 8
    assert found.findings  # such an estate breaks rules
    assert program(Recorded("dev", {}, {}, frozenset(), {})).database == {}


def test_files_of_the_local_system_are_looked_at(tmp_path: Path) -> None:
    place = Layout(tmp_path)
    place.secrets.mkdir()
    (place.secrets / "database_url").write_text("x")
    (place.secrets / "database_url").chmod(0o600)
    (place.secrets / "key").write_text("x")
    (place.secrets / "key").chmod(0o644)
    assert [one.private for one in here.secrets(place)] == [True, False]
    place.conf.mkdir()
    (place.conf / "alertmanager.yml").write_text(
        "receivers:\n- name: quiet\n- name: hook\n  webhook_configs:\n  - url: http://127.0.0.1:9/\n"
    )
    assert here.receivers(place) == ("webhook",)
    assert {one.name for one in here.quotas(place)} == {"open files", "GiB of free disk"}
