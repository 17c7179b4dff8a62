"""`superagent backup create`: what can be backed up is, whatever else fails; and the failure is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.errors import OperationFailed
from infra.recovery import catalog, create, ledger
from infra.recovery.context import Context
from infra.recovery.manifest import Kind, Manifest
from tests.infra.recovery.conftest import Cloud
from tests.infra.recovery.test_facts import NOW, make
from tests.infra.recovery.test_signing import place as place

pytestmark = pytest.mark.component


@pytest.fixture
def failing(
    cloud: Cloud, place: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Any]:
    """Runs the command while one kind of backup cannot be made."""

    def run(which: Kind, *words: str) -> Any:
        def one(_: Context, kind: Kind, kms_key: str | None) -> Manifest:
            if kind == which:
                raise OperationFailed(f"{kind} is away.")
            return make(cloud.store, 1, NOW, kind)

        monkeypatch.setattr(create, "one", one)
        return CliRunner().invoke(main, ["backup", "create", "--stack", "prod", *words])

    return run


@pytest.mark.parametrize(("which", "other"), [("postgres", "config"), ("config", "postgres")])
def test_a_kind_that_fails_keeps_no_other_from_being_made_and_read_back(
    cloud: Cloud, failing: Callable[..., Any], which: Kind, other: Kind
) -> None:
    done = failing(which, "--verify")
    assert done.exit_code == 1
    assert f"{which} is away." in done.output
    (made,) = catalog.entries(cloud.store, other)
    assert ledger.newest_verified(cloud.store, other, [made.id]) == made.id
    assert made.id in done.output


def test_a_program_reads_what_was_made_although_something_failed(failing: Callable[..., Any]) -> None:
    done = failing("config", "--json")
    assert done.exit_code == 1
    assert [one["kind"] for one in json.loads(done.stdout)] == ["postgres"]
