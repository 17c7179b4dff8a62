"""The difference of two estates, on small ones that fit a screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.policy.model import Resource
from infra.preview.diff import ABSENT, HIDDEN, Change, difference, properties
from infra.preview.estate import Recorded

BUCKET, DATABASE, ALARM = (
    "aws:s3/bucket:Bucket",
    "aws:rds/instance:Instance",
    "aws:cloudwatch/metricAlarm:MetricAlarm",
)


def resource(kind: str, name: str, parent: str = "Data", **given_: Any) -> Resource:
    inputs = given_.pop("inputs", {})
    urn = f"urn:pulumi:prod::superagent::superagent:stack:{parent}${kind}::{name}"
    return Resource(kind, name, urn, inputs, **given_)


def recorded(*resources: Resource, aliases: dict[str, tuple[str, ...]] | None = None) -> Recorded:
    urns = {one.urn: one for one in resources}
    return Recorded("prod", urns, {}, frozenset(urns), {}, aliases or {})


def changes(old: Recorded, new: Recorded) -> list[Change]:
    return difference(old, new).changes


def test_the_same_estate_has_no_difference() -> None:
    one = recorded(resource(BUCKET, "backups", inputs={"bucket": "b", "tags": {"a": "1"}}))
    assert changes(one, one) == []


def test_an_update_names_old_and_new() -> None:
    old = recorded(resource(DATABASE, "primary", inputs={"engineVersion": "17.7"}))
    new = recorded(resource(DATABASE, "primary", inputs={"engineVersion": "17.9"}))
    (change,) = changes(old, new)
    assert (change.kind, change.dangerous) == ("update", False)
    assert [(p.path, p.old, p.new) for p in change.properties] == [("engineVersion", "17.7", "17.9")]


def test_a_property_that_cannot_change_in_place_replaces_and_warns() -> None:
    old = recorded(resource(DATABASE, "primary", inputs={"storageEncrypted": False}))
    new = recorded(resource(DATABASE, "primary", inputs={"storageEncrypted": True}))
    (change,) = changes(old, new)
    assert (change.kind, change.dangerous) == ("replace", True)
    assert change.reason == "storageEncrypted cannot change in place"


def test_an_ignored_property_is_no_change() -> None:
    old = recorded(resource(ALARM, "a", inputs={"x": [{"weight": 1}], "y": 1}, ignore_changes=("x",)))
    new = recorded(resource(ALARM, "a", inputs={"x": [{"weight": 9}], "y": 1}, ignore_changes=("x",)))
    assert changes(old, new) == []


def test_a_secret_shows_that_it_changed_and_not_what_it_is() -> None:
    old = recorded(resource(ALARM, "a", inputs={"token": "old"}, secrets=("/token",)))
    new = recorded(resource(ALARM, "a", inputs={"token": "new"}, secrets=("/token",)))
    (change,) = changes(old, new)
    assert [(p.old, p.new) for p in change.properties] == [(HIDDEN, HIDDEN)]


def test_a_deleted_bucket_is_dangerous_and_a_deleted_alarm_is_not() -> None:
    old = recorded(resource(BUCKET, "backups"), resource(ALARM, "cpu"))
    assert [(one.kind, one.name, one.dangerous) for one in changes(old, recorded())] == [
        ("delete", "backups", True),
        ("delete", "cpu", False),
    ]


def test_an_alias_keeps_what_was_renamed() -> None:
    was, now = resource(BUCKET, "backups", inputs={"x": 1}), resource(BUCKET, "archives", inputs={"x": 2})
    for alias in (was.urn, f"{BUCKET}::backups", "::backups"):
        (change,) = changes(recorded(was), recorded(now, aliases={now.urn: (alias,)}))
        assert (change.kind, change.name) == ("update", "archives")
    (change,) = changes(recorded(was), recorded(resource(BUCKET, "archives", inputs={"x": 1})))
    assert (change.kind, change.dangerous) == ("replace", True)


def test_an_alias_in_part_that_fits_two_keeps_one() -> None:
    was = [
        replace(resource(BUCKET, "backups"), urn=f"urn:pulumi:prod::superagent::{each}::backups")
        for each in "ab"
    ]
    now = resource(BUCKET, "archives")
    found = changes(recorded(*was), recorded(now, aliases={now.urn: ("::backups",)}))
    assert [(one.kind, one.name) for one in found] == [("delete", "backups")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=1), below)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_properties_are_empty_exactly_when_nothing_differs(old: Any, new: Any) -> None:
    found = list(properties({"v": old}, {"v": new}))
    if _same(old, new):
        assert found == []
    else:
        assert found
        assert all(one.old != one.new for one in found)


def _same(old: Any, new: Any) -> bool:
    return bool(old == new)


@given(JSON)
def test_a_property_that_appears_has_no_old_value(value: Any) -> None:
    (one,) = properties({}, {"v": value})
    assert (one.path, one.old, one.new) == ("v", ABSENT, value)
