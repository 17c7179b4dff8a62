"""Change the program on purpose: exactly that must be seen, and nothing else. The canaries of all others."""

from __future__ import annotations

import pytest

from infra.errors import OperationFailed
from infra.preview.diff import difference
from infra.preview.report import broken
from tests.infra.estates import estate, recorded, scratch


def test_one_changed_property_is_seen_and_nothing_else() -> None:
    with scratch({"infra/stack/edge.py": ('path="/health/ready"', 'path="/healthz"')}) as tree:
        changed = difference(estate("local", "local"), recorded("local", {}, tree))
    assert [(one.kind, one.name) for one in changed.changes] == [
        ("update", "superagent-local-blue"),
        ("update", "superagent-local-green"),
    ]
    assert {(p.path, p.old, p.new) for one in changed.changes for p in one.properties} == {
        ("healthCheck.path", "/health/ready", "/healthz")
    }


def test_mistakes_that_the_test_monitor_swallows_are_found() -> None:
    edits = {
        "infra/stack/buckets.py": ('rule={"object_ownership"', 'rule={"object_ownershipp"'),
        "infra/stack/releases.py": ('"INSTANCE/DATABASE in use', 'f"{self.table.name} in use'),
        "infra/stack/edge.py": ('opts=self.child(ignore_changes=["defaultActions"])', "opts=self.child()"),
        "infra/stack/network.py": ("map_public_ip_on_launch=False", 'map_public_ip_on_launch="no"'),
    }
    with scratch(edits) as tree:
        found = {(one.rule, one.message) for one in broken(recorded("local", {}, tree))}
    rules = {rule for rule, _ in found}
    assert rules == {"sdk-types", "resolved-outputs", "one-owner"}
    messages = "\n".join(message for _, message in found)
    assert "rule.object_ownershipp is no input of BucketOwnershipControlsRule" in messages
    assert "mapPublicIpOnLaunch is str 'no', not bool" in messages
    assert "formats an output into text at /description" in messages


def test_a_renamed_bucket_is_a_dangerous_replacement() -> None:
    edit = {"infra/stack/backups.py": ('self, "backups", key_arn', 'self, "archives", key_arn')}
    with scratch(edit) as tree:
        changed = difference(estate("local", "local"), recorded("local", {}, tree))
    assert [(one.kind, one.name, one.reason) for one in changed.dangerous] == [
        ("replace", "archives", "renamed from backups; an alias keeps it")
    ]
    assert {one.component for one in changed.changes} == {"backups"}


def test_a_component_that_is_renamed_moves_nothing_in_the_cloud() -> None:
    """Names of components are no part of their children's URNs; only their type is."""
    edit = {"infra/stack/releases.py": ('super().__init__("releases"', 'super().__init__("journal"')}
    with scratch(edit) as tree:
        changed = difference(estate("local", "local"), recorded("local", {}, tree))
    assert sorted((one.kind, one.type, one.name) for one in changed.changes) == [
        ("create", "superagent:stack:Releases", "journal"),
        ("delete", "superagent:stack:Releases", "releases"),
    ]


def test_a_component_whose_class_is_renamed_would_lose_its_data() -> None:
    with scratch(
        {"infra/stack/releases.py": ("class Releases(Component)", "class Journal(Component)")}
    ) as tree:
        path = tree / "infra/stack/releases.py"
        path.write_text(path.read_text() + "\n\nReleases = Journal\n")
        changed = difference(estate("local", "local"), recorded("local", {}, tree))
    assert [(one.kind, one.name, one.reason) for one in changed.dangerous] == [
        ("replace", "releases", "moved; an alias keeps it")
    ]


def test_another_az_replaces_only_that_az() -> None:
    zones = '["eu-central-1a", "eu-central-1d"]'
    changed = difference(estate("local", "local"), recorded("local", {"availability_zones": zones}))
    assert changed.changes
    for one in changed.changes:
        if one.kind == "update":  # the load balancer's list of subnets, at that place
            assert one.name == "alb"
            assert [(p.path, p.new) for p in one.properties] == [("subnets[1]", "public-eu-central-1d-id")]
        else:
            assert "eu-central-1b" in one.name or "eu-central-1d" in one.name


def test_another_engine_version_is_one_update_of_the_database() -> None:
    changed = difference(
        estate("dev", "ec2"), recorded("dev", {"compute": "ec2", "database_version": "17.11"})
    )
    assert [(one.kind, one.component, one.name) for one in changed.changes] == [
        ("update", "database", "primary")
    ]
    assert [(p.path, p.old, p.new) for p in changed.changes[0].properties] == [
        ("engineVersion", "17.10", "17.11")
    ]


def test_a_program_that_fails_says_where() -> None:
    with (
        scratch({"infra/stack/releases.py": ('hash_key="pk"', "hash_key=1 / 0")}) as tree,
        pytest.raises(OperationFailed, match=r"ZeroDivisionError"),
    ):
        recorded("local", {}, tree)
