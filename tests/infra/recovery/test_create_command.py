"""`superagent backup create`: what can be backed up is, whatever else fails; and the failure is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from click.testing import CliRunner

from infra.cli import main
from infra.errors import OperationFailed
from infra.recovery import catalog, create, drill, facts, ledger, manifest, postgres_restore, rds, turn
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


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (psycopg.errors.AdminShutdown("terminating connection due to administrator command"), "terminating"),
        (ClientError({"Error": {"Code": "Throttling", "Message": "slowly"}}, "Scan"), "Scan: Throttling"),
        (ConnectTimeoutError(endpoint_url="https://dynamodb"), "ConnectTimeoutError"),
    ],
    ids=["postgres", "aws", "network"],
)
def test_what_a_store_itself_says_is_a_failure_that_is_counted(
    cloud: Cloud,
    place: Context,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    told: str,
) -> None:
    """A server that goes away under the dump is heard first by whichever connection asks it first."""

    def broken(*_: object) -> Manifest:
        raise error

    (tmp_path / "url").write_text("postgresql://owner@127.0.0.1/superagent")
    monkeypatch.setenv("SUPERAGENT_DATABASE_OWNER_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setattr(create.postgres_backup, "postgres", broken)
    done = CliRunner().invoke(main, ["backup", "create", "--stack", "prod"])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit), done.output
    assert told in done.output
    assert len(catalog.entries(cloud.store, "config")) == 1
    assert facts.failures(cloud.table) == {"postgres": 1, "redis": 0, "config": 0}


def test_a_restore_that_a_store_ends_says_so_and_that_it_can_go_on(
    place: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly\n")

    monkeypatch.setattr(postgres_restore, "perform", broken)
    done = CliRunner().invoke(main, ["restore", "--stack", "prod"])
    assert done.exit_code == 1
    assert "restore` failed: consuming input failed: server closed" in done.output
    assert "The same command goes on with it." in done.output


def test_names_in_a_report_are_told_word_for_word(place: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"rows_written_since": {'public."[/odd]"': 3}, "attributes": ["[bold]"]}
    monkeypatch.setattr(postgres_restore, "perform", lambda *_: told)
    done = CliRunner().invoke(main, ["restore", "--stack", "prod"])
    assert done.exit_code == 0, done.exception
    assert '[/odd]"' in done.output and "1. [bold]" in done.output


@pytest.mark.parametrize(
    ("words", "module", "name"),
    [
        (("backup", "snapshot", "--instance", "sa-db"), rds, "snapshot"),
        (("backup", "list"), catalog, "entries"),
        (("schedule", "run", "backup"), turn, "take"),
        (("drill",), drill, "in_clean_process"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_aws_refuses_is_a_sentence_of_the_verb(
    place: Context, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], module: Any, name: str
) -> None:
    def refused(*_: object) -> None:
        raise ClientError({"Error": {"Code": "InvalidDBInstanceState", "Message": ""}}, "CreateDBSnapshot")

    monkeypatch.setattr(module, name, refused)
    done = CliRunner().invoke(main, [*words, "--stack", "prod"])
    assert done.exit_code == 1
    assert f"{words[0]}` failed: CreateDBSnapshot: InvalidDBInstanceState." in done.output


def test_a_backup_of_a_newer_tool_hides_no_other(cloud: Cloud, place: Context) -> None:
    """After the tools were rolled back."""
    newer = replace(make(cloud.store, 1, NOW), id="20261123T020009Z-abcdef", format=manifest.FORMAT + 1)
    cloud.store.put(manifest.manifest_key("postgres", newer.id), manifest.encode(newer))
    mine = make(cloud.store, 2, NOW)
    done = CliRunner().invoke(main, ["backup", "verify", "--stack", "prod", "--json"])
    assert done.exit_code == 0, done.output
    assert mine.id in {one["id"] for one in json.loads(done.stdout)}
    assert f"Not verified: backups/postgres/{newer.id}" in " ".join(done.stderr.split())
    listed = json.loads(CliRunner().invoke(main, ["backup", "list", "--stack", "prod", "--json"]).stdout)
    told = {one["id"]: (one["verified_at"] is not None, "unreadable" in one) for one in listed}
    assert (told[mine.id], told[newer.id]) == ((True, False), (False, True))
    alone = CliRunner().invoke(main, ["backup", "verify", "--stack", "prod", "--id", newer.id])
    assert alone.exit_code == 2
