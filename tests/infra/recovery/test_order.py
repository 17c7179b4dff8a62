"""What must come after what: the manifest after the data, the pointer after the comparison."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from infra.errors import OperationFailed
from infra.recovery import backup, catalog, cutover, postgres_restore, restore, tools
from infra.recovery.backup import Draft
from infra.recovery.context import Context
from infra.recovery.database import Address, Table
from infra.recovery.lease import hold
from infra.recovery.manifest import Manifest
from infra.stack.environment import Environment
from infra.stack.pointer import Pointer
from tests.infra.recovery.conftest import Cloud, back_up
from tests.infra.recovery.test_redis_and_config import OUTPUTS

pytestmark = pytest.mark.component


def names_of_writes(cloud: Cloud, do: Callable[[], object]) -> list[str]:
    """Last parts of the keys that were written, in order."""
    keys: list[str] = []

    def wrote(params: dict[str, Any], **_: Any) -> None:
        keys.append(params["Key"].rpartition("/")[2])

    events = cloud.s3.meta.events
    for call in ("PutObject", "CompleteMultipartUpload"):
        events.register(f"provide-client-params.s3.{call}", wrote)
    try:
        do()
    finally:
        for call in ("PutObject", "CompleteMultipartUpload"):
            events.unregister(f"provide-client-params.s3.{call}", wrote)
    return keys


def test_the_manifest_is_the_last_object_of_a_backup(cloud: Cloud, source: Address) -> None:
    keys = names_of_writes(cloud, lambda: back_up(cloud, source))
    assert keys.count("manifest.json") == 1
    assert keys[-1] == "manifest.json"
    assert len(keys) > 3


def test_a_dump_that_fails_is_never_a_backup(
    cloud: Cloud, source: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wrote all that it had and then said that it failed: what it wrote may be half of a database."""
    real = tools.find("pg_dump", 17)
    fails = tmp_path / "pg_dump"
    fails.write_text(f'#!/bin/sh\n"{real}" "$@"\nexit 1\n')
    fails.chmod(fails.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(backup.tools, "find", lambda *_: str(fails))
    with pytest.raises(OperationFailed):
        back_up(cloud, source)
    assert catalog.entries(cloud.store, "postgres") == []


def test_an_owner_that_was_replaced_publishes_nothing(cloud: Cloud, source: Address) -> None:
    lost = {"pk": "recovery", "sk": "lease#backup postgres", "owner": "other", "beat": 1}
    with (
        hold(cloud.table, "backup postgres", beat_seconds=60) as lease,
        pytest.raises(OperationFailed, match="took over the lease"),
    ):
        cloud.table.put_item(Item=lost)
        backup.postgres(Draft(cloud.store, "postgres", "test", cloud.kms), source, lease)
    assert catalog.entries(cloud.store, "postgres") == []


@pytest.fixture
def place(cloud: Cloud, moto_endpoint: str) -> Context:
    """An environment in AWS whose pointer names the database in use."""
    cloud.client("ssm").put_parameter(Name=OUTPUTS.database_pointer, Value="sa-db/superagent", Type="String")
    outputs = replace(OUTPUTS, compute="ec2", environment="prod", backup_bucket=cloud.store.bucket)
    return Context(Environment(outputs, moto_endpoint), cloud.store)


def test_the_pointer_stays_when_the_restored_data_differ(
    place: Context, cloud: Cloud, source: Address, spare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(cloud, source)
    switched: list[Pointer] = []

    def differs(target: Address, manifest: Manifest) -> tuple[str, list[str]]:
        return "content", ["tenants has other content."]

    def switch(place: Context, to: Pointer) -> cutover.Switched:
        switched.append(to)
        return cutover.Switched(str(to), None)

    monkeypatch.setattr(postgres_restore.server, "administrator", lambda _: source)
    monkeypatch.setattr(postgres_restore.cutover, "unfinished_target", lambda: None)
    monkeypatch.setattr(postgres_restore.cutover, "switch", switch)
    wish = postgres_restore.Request(into=spare, switch=True)
    monkeypatch.setattr(restore, "compare", differs)
    with pytest.raises(OperationFailed, match="is not what was backed up"):
        postgres_restore.perform(place, wish)
    assert switched == []
    monkeypatch.undo()
    assert str(cutover.pointer(place)) == "sa-db/superagent"


def test_a_pointer_that_does_not_take_is_noticed(place: Context) -> None:
    class Deaf:
        """Parameters that say yes and do nothing."""

        exceptions = SimpleNamespace(ParameterNotFound=KeyError)

        def put_parameter(self, **_: Any) -> None:
            return

        def get_parameter(self, **_: Any) -> dict[str, Any]:
            return {"Parameter": {"Value": "sa-db/superagent"}}

    deaf = SimpleNamespace(client=lambda _: Deaf(), env=place.env)
    with pytest.raises(OperationFailed, match="did not take the value other/superagent"):
        cutover.point(deaf, Pointer("other", "superagent"))  # type: ignore[arg-type]


@pytest.mark.parametrize("compute", ["local", "ec2"])
def test_a_cutover_that_began_before_the_database_was_lost_does_not_stand_for_its_restore(
    place: Context,
    cloud: Cloud,
    source: Address,
    spare: str,
    monkeypatch: pytest.MonkeyPatch,
    compute: Literal["local", "ec2"],
) -> None:
    """The same command is all that is left to say: it makes the database again, and not only names it."""
    made = back_up(cloud, source)
    here = replace(place, env=replace(place.env, outputs=replace(place.env.outputs, compute=compute)))
    monkeypatch.setattr(postgres_restore.server, "administrator", lambda _: source)
    monkeypatch.setattr(postgres_restore.cutover, "unfinished_target", lambda: Pointer("local", spare))
    wish = postgres_restore.Request(into=spare)
    assert postgres_restore.perform(here, wish)["restored"]["rows"] == made.rows
    again = postgres_restore.perform(here, wish)["restored"]
    assert (again["backup"], again["database"]) == (made.id, spare)
    assert ("compared" in again) == (compute == "ec2"), "the journal of the local system is of no other"


def test_a_database_that_cannot_be_read_any_more_keeps_nobody_from_restoring_it(
    place: Context, cloud: Cloud, source: Address, spare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written since the backup is counted in it: a broken page there ends a count."""
    made = back_up(cloud, source)
    broken = Table('"of a broken page"', 0, ())
    monkeypatch.setattr(postgres_restore.server, "administrator", lambda _: source)
    monkeypatch.setattr(postgres_restore, "tables", lambda _: [broken])
    cloud.client("ssm").put_parameter(
        Name=OUTPUTS.database_pointer, Value=f"sa-db/{source.name}", Type="String", Overwrite=True
    )
    report = postgres_restore.perform(place, postgres_restore.Request(into=spare))
    assert report["restored"]["rows"] == made.rows
    assert report["rows_written_since"] is None
