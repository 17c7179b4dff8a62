"""A restore of Redis or of an RDS instance may die anywhere: the same command finishes it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from infra.recovery import archive, catalog, cutover, rds_attributes, rds_restore, redis_backup
from infra.recovery.context import Context
from infra.recovery.redis_backup import Loaded
from infra.stack.environment import Environment
from infra.stack.pointer import Pointer
from tests.infra.recovery.conftest import Cloud
from tests.infra.recovery.faulty import Proxy, proxy
from tests.infra.recovery.killing import in_child, killed_at
from tests.infra.recovery.test_rds_restore import MOMENT, place  # noqa: F401
from tests.infra.recovery.test_redis_and_config import back_up, live  # noqa: F401

pytestmark = pytest.mark.component


@pytest.fixture
def gate(moto_endpoint: str) -> Iterator[Proxy]:
    with proxy(moto_endpoint) as state:
        yield state


def restore_redis(cloud: Cloud, url: str) -> int:
    made = catalog.resolve(cloud.store, "redis", "latest")
    with redis_backup.loaded(made, archive.vault_of(made, cloud.store, cloud.kms)) as ready:
        return redis_backup.hand_over(ready, url)


@pytest.mark.parametrize("live", [""], indirect=True)
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("before it asks", marks=pytest.mark.soak),
        "while it copies",
        pytest.param("before it lets go", marks=pytest.mark.soak),
    ],
)
def test_a_redis_restore_that_is_killed_is_finished_by_another(
    cloud: Cloud,
    live: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    with redis.Redis.from_url(live) as client:
        for n in range(500):
            client.set(f"key:{n}", "x" * 100)
        back_up(cloud, live)
        client.flushall()

        def die(*_: object) -> Any:
            os.killpg(os.getpgid(0), signal.SIGKILL)

        honest = redis_backup._in_step

        def die_in_step(of: redis.Redis) -> bool:
            if honest(of):
                die()
            return False

        with monkeypatch.context() as patch:
            if moment == "before it asks":
                patch.setattr(redis_backup, "hand_over", die)
            else:
                step = die if moment == "while it copies" else die_in_step
                patch.setattr(redis_backup, "_in_step", step)
            assert in_child(lambda: restore_redis(cloud, live)) == -signal.SIGKILL

        assert restore_redis(cloud, live) == 500
        facts: Any = client.info("replication")
        assert facts["role"] == "master"
        assert client.get("key:499") == b"x" * 100
        client.set("writes", "work again")


@pytest.mark.parametrize("live", [""], indirect=True)
def test_a_source_that_dies_under_the_copy_leaves_a_master(cloud: Cloud, live: str) -> None:  # noqa: F811
    with redis.Redis.from_url(live) as client:
        client.set("kept", "yes")
        nobody = Loaded("127.0.0.1", 1, 0, 0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(redis_backup, "LOAD_SECONDS", 0.2)
            with pytest.raises(redis_backup.OperationFailed, match="did not take the snapshot over"):
                redis_backup.hand_over(nobody, live)
        facts: Any = client.info("replication")
        assert facts["role"] == "master"
        assert client.get("kept") == b"yes"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("when", "kills"),
    [
        ("after", 2),
        pytest.param("before", None, marks=pytest.mark.soak),
        pytest.param("after", None, marks=pytest.mark.soak),
    ],
)
def test_an_instance_restore_killed_at_any_call_is_finished_by_the_same_command(
    place: Context,  # noqa: F811
    gate: Proxy,
    when: str,
    kills: int | None,
) -> None:
    """At every call of a recording, or at so many of them, evenly spread."""
    far = replace(place, env=Environment(place.env.outputs, gate.url))
    rds = place.client("rds")
    wanted = rds_attributes.of(rds.describe_db_instances(DBInstanceIdentifier="sa-db")["DBInstances"][0])

    def perform(where: Context) -> dict[str, Any]:
        return rds_restore.perform(where, None, "latest", MOMENT, "new", True, False, poll=0)

    def begin_again() -> None:
        for one in rds.describe_db_instances()["DBInstances"]:
            name = one["DBInstanceIdentifier"]
            if name != "sa-db":
                rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False)
                rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        cutover.point(place, Pointer("sa-db", "superagent"))

    assert in_child(lambda: perform(far)) == 0
    recorded = len(gate.calls)
    assert recorded >= 7, gate.calls
    for victim in range(0, recorded, recorded // kills if kills else 1):
        begin_again()
        code = killed_at(gate, victim, when, lambda: perform(far))
        assert code == -signal.SIGKILL, f"call {victim}: {code}"
        report = perform(place)
        pointer = cutover.pointer(place)
        assert pointer is not None and pointer.database == "superagent"
        # A kill after the switch is followed by a restore of the restored one: told, and as equal.
        assert pointer.instance == report["target"]
        [made] = rds.describe_db_instances(DBInstanceIdentifier=pointer.instance)["DBInstances"]
        assert rds_attributes.differences(wanted, rds_attributes.of(made)) == {}
        assert rds.describe_db_instances(DBInstanceIdentifier="sa-db")["DBInstances"]
