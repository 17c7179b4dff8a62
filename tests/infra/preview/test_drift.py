"""Drift: whose difference it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from infra.errors import UserError
from infra.preview.drift import OWNERS, classify, read
from infra.preview.drift_command import drift
from tests.infra.estates import estate


def step(kind: str, name: str, *paths: str, op: str = "update", **states: Any) -> dict[str, Any]:
    return {
        "op": op,
        "urn": f"urn:pulumi:prod::superagent::superagent:stack:Edge${kind}::{name}",
        "detailedDiff": {path: {"kind": "update", "inputDiff": False} for path in paths},
        **states,
    }


LISTENER = "aws:lb/listener:Listener"


@pytest.mark.parametrize(
    ("kind", "name", "path", "verdict"),
    [
        (LISTENER, "production", "defaultActions[0].forward.targetGroups[0].weight", "release"),
        (LISTENER, "production", "sslPolicy", "drift"),
        (LISTENER, "production", "defaultActions[0].type", "drift"),
        ("aws:autoscaling/group:Group", "fleet-blue", "desiredCapacity", "release"),
        ("aws:autoscaling/group:Group", "fleet-blue", "maxSize", "drift"),
        ("aws:ssm/parameter:Parameter", "image-blue", "value", "release"),
        ("aws:ssm/parameter:Parameter", "database", "value", "recovery"),
        ("kubernetes:apps/v1:Deployment", "blue", "spec.replicas", "release"),
        ("kubernetes:apps/v1:Deployment", "blue", "spec.template.spec.containers[0].image", "release"),
        ("kubernetes:apps/v1:Deployment", "blue", "spec.template.spec.serviceAccountName", "drift"),
        ("aws:rds/instance:Instance", "primary", "latestRestorableTime", "aws"),
        ("aws:rds/instance:Instance", "primary", "deletionProtection", "drift"),
        ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "alb", "cidrIpv4", "drift"),
    ],
)
def test_every_difference_has_an_owner_or_is_drift(kind: str, name: str, path: str, verdict: str) -> None:
    (one,) = classify([step(kind, name, path)])
    assert (one.verdict, one.drift) == (verdict, verdict == "drift")


def test_something_that_is_gone_is_drift_whatever_it_is() -> None:
    (one,) = classify([step(LISTENER, "production", op="delete")])
    assert (one.drift, one.change) == (True, "is gone")


def test_the_change_shows_old_and_new_but_no_secret() -> None:
    states = {
        "oldState": {"outputs": {"maxSize": 3, "token": {"ciphertext": "abc"}}},
        "newState": {"outputs": {"maxSize": 9, "token": {"ciphertext": "def"}}},
    }
    size, token = classify([step("aws:autoscaling/group:Group", "g", "maxSize", "token", **states)])
    assert size.change == "3 → 9"
    assert "abc" not in token.change


def test_what_did_not_change_is_not_reported() -> None:
    assert classify([step(LISTENER, "production", op="same")]) == []


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', '{"steps": [{"op": "update"}]}', '{"steps": 3}'])
def test_input_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no digest of Pulumi"):
        read(text)


def test_the_command_exits_by_what_it_found() -> None:
    clean = json.dumps({"steps": [step(LISTENER, "production", "defaultActions[0]")], "changeSummary": {}})
    dirty = json.dumps({"steps": [step(LISTENER, "production", "port")]})
    runner = CliRunner()
    assert runner.invoke(drift, ["-"], input=clean).exit_code == 0
    assert runner.invoke(drift, ["-", "--json"], input=dirty).exit_code == 1
    assert runner.invoke(drift, ["-"], input="nonsense").exit_code == 2


def test_what_the_program_ignores_is_owned_by_somebody() -> None:
    owned = {(owner.type, owner.path) for owner in OWNERS}
    for compute in ("ec2", "eks"):
        for one in estate("prod", compute).resources.values():
            for path in one.ignore_changes:
                if one.type.startswith("aws:lb") or "autoscaling" in one.type or "Deployment" in one.type:
                    assert (one.type, path) in owned
