"""What the recovery benchmark compares with: PostgreSQL's own tools, to a file and into the same S3."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from infra.recovery import tools
from infra.recovery.database import Address
from infra.recovery.store import Store
from infra.stack.environment import client_config
from tests.parts import REGION, free_port, port_open, wait_until

ROW_BYTES = 270
TABLES = {"usage_a": 0.45, "usage_b": 0.35, "debates": 0.15, "keys": 0.05}
"""Share of the rows; several large tables, as a gateway has them."""
MAJOR = 17


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds of one piece of work, the servers that it talks to included."""

    seconds: float
    cpu: float


def cost(work: Callable[[], Any]) -> Cost:
    before, started = _cpu_of_all_children(), time.monotonic()
    work()
    return Cost(time.monotonic() - started, _cpu_of_all_children() - before)


def _cpu_of_all_children() -> float:
    """CPU seconds of this process and of everything below it, ended children included."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        spent[pid] = sum(int(fields[n]) for n in range(11, 15)) / tick
    return sum(seconds for pid, seconds in spent.items() if _is_below(pid, parents))


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    while pid and pid != os.getpid():
        pid = parents.get(pid, 0)
    return pid != 0


def fill(database: Address, megabytes: int) -> int:
    """Rows like those of the usage table; returns the bytes that the database has then."""
    rows = megabytes * 1_000_000 // ROW_BYTES
    with database.connect() as connection:
        for name, share in TABLES.items():
            connection.execute(
                f"create table {name} (id bigint primary key, request uuid not null, at timestamptz not null,"
                " model text not null, tokens int, cost numeric(12, 6), note text)"
            )
            connection.execute(
                f"insert into {name} select n, md5(n::text)::uuid,"
                " timestamptz '2026-01-01' + n * interval '1 second',"
                " 'model-' || n % 17, n % 4096, n / 7919.0, md5((n * 3)::text) || ' the quick brown fox '"
                " || md5((n * 7)::text) || repeat(' lorem ipsum', 4)"
                f" from generate_series(1, {int(rows * share)}) n"
            )
            connection.execute(f"create index on {name} (at)")
        connection.execute("vacuum analyze")
        row = connection.execute("select pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def s3(kind: str, folder: Path) -> Iterator[str]:
    """An S3 of its own: `light` (light_s3.py) or `moto`, the emulator of the local system."""
    port = free_port()
    command = {
        "light": ["tests.benchmarks.light_s3", "--port", str(port), "--folder", str(folder)],
        "moto": ["moto.server", "-H", "127.0.0.1", "-p", str(port)],
    }[kind]
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: port_open(port), f"{kind} S3 accepts connections")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def store_of(endpoint: str) -> Store:
    client = boto3.client(
        "s3", region_name=REGION, endpoint_url=endpoint,
        aws_access_key_id="local", aws_secret_access_key="local", config=client_config(endpoint),
    )  # fmt: skip
    return Store(client, "bench", need_kms=False)


@contextmanager
def _packed(database: Address, level: str) -> Iterator[Any]:
    """The end of the pipe `pg_dump | zstd`."""
    dump = subprocess.Popen(
        [tools.find("pg_dump", MAJOR)], env={**os.environ, **database.env()}, stdout=subprocess.PIPE
    )
    pack = subprocess.Popen(["zstd", "-q", "-c", level], stdin=dump.stdout, stdout=subprocess.PIPE)
    assert dump.stdout is not None
    dump.stdout.close()
    yield pack.stdout
    assert pack.wait() == dump.wait() == 0


def dump_to_file(database: Address, path: Path, level: str) -> None:
    """`pg_dump | zstd > file`, with file and pipe joined by the kernel."""
    with path.open("wb") as file:
        dump = subprocess.Popen(
            [tools.find("pg_dump", MAJOR)], env={**os.environ, **database.env()}, stdout=subprocess.PIPE
        )
        pack = subprocess.run(["zstd", "-q", "-c", level], stdin=dump.stdout, stdout=file, check=True)
        assert dump.wait() == pack.returncode == 0


def dump_to_s3(database: Address, store: Store, level: str) -> None:
    """`pg_dump | zstd` into the bucket by boto3's own transfer manager with its defaults."""
    with _packed(database, level) as pipe:
        store.client.upload_fileobj(pipe, store.bucket, "plain.zst")


def dump_archive(database: Address, path: Path) -> None:
    """What the peer restores from: an archive with the compression that ours has."""
    subprocess.run(
        [tools.find("pg_dump", MAJOR), "-Fc", "--compress=zstd:level=1", "-f", str(path)],
        env={**os.environ, **database.env()},
        check=True,
    )


def plain_restore(server: Address, path: Path, name: str) -> None:
    create(server, name)
    command = [tools.find("pg_restore", MAJOR), "-j2", "--no-password", "-d", name, str(path)]
    subprocess.run(command, env={**os.environ, **server.env()}, check=True)


def create(server: Address, name: str) -> None:
    with server.connect() as connection:
        connection.execute(f"create database {name} template template0")  # type: ignore[arg-type]


def drop(server: Address, name: str) -> None:
    with server.connect() as connection:
        connection.execute(f"drop database if exists {name} with (force)")  # type: ignore[arg-type]
        connection.execute("checkpoint")
