"""Backup and restore against PostgreSQL's own tools on the same data, in one run: ratios, and peak memory.

    python -m tests.benchmarks.bench_recovery --megabytes 2000

Both sides dump the same database with zstd; ours also hashes, fingerprints every table and goes through S3's
API (the emulator takes CPU of the same machine, which counts against us).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3

from infra.recovery import catalog, restore, scratch, tools
from infra.recovery.backup import Draft, postgres
from infra.recovery.database import Address
from infra.recovery.manifest import Manifest
from infra.recovery.store import Store
from tests.parts import REGION, free_port, port_open, wait_until

ROW_BYTES = 270
TABLES = {"usage_a": 0.45, "usage_b": 0.35, "debates": 0.15, "keys": 0.05}
"""Share of the rows; several large tables, as a gateway has them."""


class Held:
    """A lease for a bench that has no rival."""

    def assert_held(self) -> None:
        return


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
def emulator() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: port_open(port), "moto accepts connections")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def timed(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def plain_dump(database: Address, path: Path) -> None:
    with path.open("wb") as file:
        dump = subprocess.Popen(
            [tools.find("pg_dump", 17)], env={**os.environ, **database.env()}, stdout=subprocess.PIPE
        )
        pack = subprocess.run(["zstd", "-q", "-c"], stdin=dump.stdout, stdout=file, check=True)
        assert dump.wait() == pack.returncode == 0


def plain_restore(server: Address, path: Path, name: str) -> None:
    create(server, name)
    command = [tools.find("pg_restore", 17), "-j2", "--no-password", "-d", name, str(path)]
    subprocess.run(command, env={**os.environ, **server.env()}, check=True)


def create(server: Address, name: str) -> None:
    with server.connect() as connection:
        connection.execute(f"create database {name} template template0")  # type: ignore[arg-type]


def drop(server: Address, name: str) -> None:
    with server.connect() as connection:
        connection.execute(f"drop database if exists {name} with (force)")  # type: ignore[arg-type]
        connection.execute("checkpoint")


def measured_child(job: dict[str, str]) -> dict[str, float]:
    """Our side in a process of its own, so that its peak memory is its own; children are counted apart."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_recovery", "--job", json.dumps(job)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def store_of(job: dict[str, str]) -> Store:
    client = boto3.client(
        "s3", region_name=REGION, endpoint_url=job["endpoint"],
        aws_access_key_id="local", aws_secret_access_key="local",
    )  # fmt: skip
    return Store(client, job["bucket"], need_kms=False)


def run_job(job: dict[str, str]) -> None:
    store, database = store_of(job), Address.parse(job["url"])
    answer: dict[str, float] = {}
    if job["do"] == "backup":

        def make() -> Manifest:
            return postgres(Draft(store, "postgres", "bench"), database, Held())  # type: ignore[arg-type]

        answer["seconds"] = timed(make)
        answer["stored_megabytes"] = catalog.resolve(store, "postgres", "latest").size / 1e6
    else:
        made = catalog.resolve(store, "postgres", "latest")
        done = restore.run(store, made, database, "ours", None, remember=False)
        answer["seconds"] = done.load_seconds + done.verify_seconds
        answer["load_seconds"] = done.load_seconds
        answer["verify_seconds"] = done.verify_seconds
    answer["rss_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    sys.stdout.write(json.dumps(answer))


def bench(megabytes: int, rounds: int) -> dict[str, Any]:
    with ExitStack() as stack:
        server = stack.enter_context(scratch.server_of(17))
        endpoint = stack.enter_context(emulator())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="superagent-bench-")))
        create(server, "source")
        source = server.database("source")
        size = fill(source, megabytes)
        job = {"endpoint": endpoint, "bucket": "bench", "url": source.url(), "do": "backup"}
        store_of(job).client.create_bucket(
            Bucket="bench", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        backups: list[tuple[float, dict[str, float]]] = []
        for _ in range(rounds):
            plain = timed(lambda: plain_dump(source, folder / "plain.zst"))
            backups.append((plain, measured_child(job)))
        (folder / "plain.zst").unlink()
        archive = folder / "plain.dump"
        subprocess.run(
            [tools.find("pg_dump", 17), "-Fc", "--compress=zstd:level=1", "-f", str(archive)],
            env={**os.environ, **source.env()},
            check=True,
        )
        drop(server, "source")
        restores: list[tuple[float, dict[str, float]]] = []
        for _ in range(rounds):
            plain = timed(lambda: plain_restore(server, archive, "plain"))
            drop(server, "plain")
            restores.append((plain, measured_child({**job, "url": server.url(), "do": "restore"})))
            drop(server, "ours")
    return summary(size, backups, restores)


def summary(
    size: int, backups: list[tuple[float, dict[str, float]]], restores: list[tuple[float, dict[str, float]]]
) -> dict[str, Any]:
    """The best round of each side: noise only ever adds time."""
    plain_backup, our_backup = min(p for p, _ in backups), min(o["seconds"] for _, o in backups)
    plain_load = min(p for p, _ in restores)
    ours = min((o for _, o in restores), key=lambda one: one["seconds"])
    return {
        "python": sys.version.split()[0],
        "database_megabytes": round(size / 1e6),
        "plain_dump_seconds": round(plain_backup, 2),
        "backup_seconds": round(our_backup, 2),
        "backup_throughput_ratio": round(plain_backup / our_backup, 3),
        "plain_restore_seconds": round(plain_load, 2),
        "restore_load_seconds": round(ours["load_seconds"], 2),
        "restore_verify_seconds": round(ours["verify_seconds"], 2),
        "restore_load_ratio": round(ours["load_seconds"] / plain_load, 3),
        "restore_with_verify_ratio": round(ours["seconds"] / plain_load, 3),
        "backup_rss_megabytes": round(max(o["rss_megabytes"] for _, o in backups), 1),
        "restore_rss_megabytes": round(max(o["rss_megabytes"] for _, o in restores), 1),
    }


GOALS: dict[str, Callable[[float], bool]] = {
    "backup_throughput_ratio": lambda value: value >= 0.9,
    "restore_load_ratio": lambda value: value <= 1.15,
    "backup_rss_megabytes": lambda value: value <= 200,
    "restore_rss_megabytes": lambda value: value <= 200,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        run_job(json.loads(given.job))
        return
    found = bench(given.megabytes, given.rounds)
    missed = [name for name, good in GOALS.items() if not good(found[name])]
    print(json.dumps({**found, "missed": missed}, indent=2))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
