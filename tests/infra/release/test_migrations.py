"""Which migrations a release may run while the old version is still there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.release.migrations import MigrationFile, MigrationRules, parse, problem, read
from infra.release.state import Phase, Run
from tests.infra.release.test_plan import RUN
from tests.infra.release.world import Operator, World


def released(*versions: str) -> list[Run]:
    """Successful runs of these versions, oldest first in, newest first out."""
    return [replace(RUN, version=version, phase=Phase.SUCCEEDED) for version in reversed(versions)]


def file(header: str, name: str = "2_x.sql") -> MigrationFile:
    return parse(name, f"-- migrate:up\n{header}\nselect 1;\n")


def test_expanding_is_always_allowed() -> None:
    assert problem([file("-- superagent: expand")], {}, []) is None


def test_a_file_that_declares_nothing_is_refused_with_the_line_to_add() -> None:
    found = problem([file("")], {}, [])
    assert found is not None
    assert "-- superagent: expand" in found


@pytest.mark.parametrize(
    ("runs", "allowed"),
    [
        (released("v1", "v2"), True),
        (released("v1", "v2", "v3"), True),
        (released("v1"), False),
        (released(), False),
        ([replace(RUN, version="v2", phase=Phase.ABORTED), *released("v1")], False),
        ([replace(RUN, version="v1", phase=Phase.SUCCEEDED, kind="rollback"), *released("v1", "v2")], False),
        (released("v1", "v2", "v1"), False),
        (released("v1", "v2", "v3", "v2"), True),
        (released("v1", "v2", "v1", "v2"), True),
    ],
    ids=[
        *("v2 is live", "v3 is live", "v1 is live", "nothing known", "v2 was aborted", "rolled back to v1"),
        *("v1 was released again", "v2 was released again", "v2 was released again after v1"),
    ],
)
def test_contracting_waits_until_nothing_older_can_come_back(runs: list[Run], allowed: bool) -> None:
    found = problem([file("-- superagent: contract after v2")], {}, runs)
    assert (found is None) is allowed


def test_contracting_without_a_version_is_refused() -> None:
    found = problem([file("-- superagent: contract")], {}, released("v1", "v2"))
    assert found is not None
    assert "contract after <version>" in found


def test_what_was_applied_before_is_not_asked_again() -> None:
    old = file("")
    assert problem([old], {old.name: old.digest}, []) is None


def test_an_applied_file_that_was_edited_is_refused() -> None:
    old = file("-- superagent: expand")
    found = problem([replace(old, digest="other")], {old.name: old.digest}, [])
    assert found is not None
    assert "edited" in found


def test_a_release_remembers_what_it_applied(world: World) -> None:
    operator = Operator(world)
    operator.lease.take("release")
    rules = MigrationRules(operator.journal, operator.lease)
    assert operator.journal.migrations() == {}
    rules.record()
    assert operator.journal.migrations() == {one.name: one.digest for one in read()}
    assert rules.problem(RUN) is None
