"""The CrossGuard pack: the same rules, in CrossGuard's words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from infra.policy.__main__ import environment_of, seen, validator
from infra.policy.model import Resource
from infra.policy.rules import RULES


def arguments(*resources: dict[str, Any]) -> Any:
    return SimpleNamespace(
        resources=[
            SimpleNamespace(
                resource_type=one["type"],
                name="x",
                urn="urn:x",
                props=one["props"],
                opts=SimpleNamespace(protect=True, ignore_changes=[]),
            )
            for one in resources
        ]
    )


def test_a_violation_reaches_crossguard_with_its_urn() -> None:
    reported: list[tuple[str, str | None]] = []
    rule = next(one for one in RULES if one.name == "log-retention")
    group = {"type": "aws:cloudwatch/logGroup:LogGroup", "props": {"tags": {"Environment": "prod"}}}
    validator(rule)(arguments(group), lambda message, urn=None: reported.append((message, urn)))
    assert reported == [("x keeps logs for ever: set retentionInDays", "urn:x")]


def test_the_environment_comes_from_the_tags_and_is_strict_without_them() -> None:
    assert seen(arguments({"type": "t", "props": {"tags": {"Environment": "dev"}}})).environment == "dev"
    assert environment_of([Resource("t", "n", "u", {})]) == "prod"
