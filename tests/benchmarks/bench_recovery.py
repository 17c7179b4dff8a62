"""Backup and restore against PostgreSQL's own tools on the same data, in one run: ratios, and peak memory.

    python -m tests.benchmarks.bench_recovery --megabytes 2000

Both sides dump the same database with zstd; ours also hashes, fingerprints every table and goes through
S3's API. So there are three ratios: against `pg_dump | zstd` to a file at zstd's own default level, the same
at our level 1, and the same piped into the same S3 (`floor`). S3 is `light` unless `--s3 moto` asks for the
emulator, whose work a real S3 does on other machines. CPU seconds, the servers' included, stand beside wall
time: on a busy machine they are what can be compared.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from infra.recovery import catalog, restore, scratch
from infra.recovery.backup import Draft, postgres
from infra.recovery.database import Address
from tests.benchmarks import recovery_peers as peers
from tests.benchmarks.recovery_peers import Cost, cost, store_of
from tests.parts import REGION

DEFAULT_LEVEL, OUR_LEVEL = "-3", "-1"
Job = dict[str, str]
Found = dict[str, float]


class Held:
    """A lease for a bench that has no rival."""

    def assert_held(self) -> None:
        return


def in_child(job: Job) -> Found:
    """One side in a process of its own: imports are not timed, and its peak memory is its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_recovery", "--job", json.dumps(job)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: Found = json.loads(done.stdout)
    return found


def run_job(job: Job) -> None:
    store, database = store_of(job["endpoint"]), Address.parse(job["url"])
    store.encryption()
    answer: Found = {}
    started = time.monotonic()
    if job["do"] == "floor":
        peers.dump_to_s3(database, store, OUR_LEVEL)
        answer["seconds"] = time.monotonic() - started
    elif job["do"] == "backup":
        made = postgres(Draft(store, "postgres", "bench"), database, Held())  # type: ignore[arg-type]
        answer["seconds"] = time.monotonic() - started
        answer["stored_megabytes"] = made.size / 1e6
    else:
        made = catalog.resolve(store, "postgres", "latest")
        done = restore.run(store, made, database, "ours", None, remember=False)
        answer["seconds"] = done.load_seconds + done.verify_seconds
        answer["load_seconds"] = done.load_seconds
        answer["verify_seconds"] = done.verify_seconds
    answer["rss_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    sys.stdout.write(json.dumps(answer))


def child_cost(job: Job) -> tuple[Found, Cost]:
    found: list[Found] = []
    spent = cost(lambda: found.append(in_child(job)))
    return found[0], Cost(found[0]["seconds"], spent.cpu)


def bench(megabytes: int, rounds: int, restores: bool, s3: str) -> dict[str, Any]:
    with ExitStack() as stack:
        server = stack.enter_context(scratch.server_of(peers.MAJOR))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="superagent-bench-")))
        (folder / "s3").mkdir()
        endpoint = stack.enter_context(peers.s3(s3, folder / "s3"))
        peers.create(server, "source")
        source = server.database("source")
        size = peers.fill(source, megabytes)
        job = {"endpoint": endpoint, "url": source.url()}
        store = store_of(endpoint)
        store.client.create_bucket(
            Bucket=store.bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        found = {"python": sys.version.split()[0], "s3": s3, "database_megabytes": round(size / 1e6)}
        found |= backups(source, folder, job, rounds)
        if restores:
            peers.dump_archive(source, folder / "plain.dump")
            peers.drop(server, "source")
            found |= restoring(server, folder / "plain.dump", job, rounds)
        return found


def backups(source: Address, folder: Path, job: Job, rounds: int) -> dict[str, Any]:
    """The best round of each: noise only ever adds time. The sides take turns, so that both see the same."""
    file = folder / "plain.zst"
    costs: dict[str, list[Cost]] = {"plain": [], "plain_level_1": [], "floor": [], "backup": []}
    memory, stored = [0.0], 0.0
    for _ in range(rounds):
        costs["plain"].append(cost(lambda: peers.dump_to_file(source, file, DEFAULT_LEVEL)))
        costs["plain_level_1"].append(cost(lambda: peers.dump_to_file(source, file, OUR_LEVEL)))
        file.unlink()
        costs["floor"].append(child_cost({**job, "do": "floor"})[1])
        found, spent = child_cost({**job, "do": "backup"})
        costs["backup"].append(spent)
        memory.append(found["rss_megabytes"])
        stored = found["stored_megabytes"]
    best = {name: min(all_, key=lambda one: one.seconds) for name, all_ in costs.items()}
    ours = best["backup"].seconds
    return {
        **{f"{name}_seconds": round(one.seconds, 2) for name, one in best.items()},
        **{f"{name}_cpu_seconds": round(min(c.cpu for c in costs[name]), 2) for name in best},
        "stored_megabytes": round(stored, 1),
        "backup_throughput_ratio": round(best["plain"].seconds / ours, 3),
        "backup_throughput_ratio_level_1": round(best["plain_level_1"].seconds / ours, 3),
        "backup_throughput_ratio_same_s3": round(best["floor"].seconds / ours, 3),
        "backup_rss_megabytes": round(max(memory), 1),
    }


def restoring(server: Address, archive: Path, job: Job, rounds: int) -> dict[str, Any]:
    plain: list[Cost] = []
    ours: list[Found] = []
    our_cpu: list[float] = []
    for _ in range(rounds):
        plain.append(cost(lambda: peers.plain_restore(server, archive, "plain")))
        peers.drop(server, "plain")
        found, spent = child_cost({**job, "url": server.url(), "do": "restore"})
        ours.append(found)
        our_cpu.append(spent.cpu)
        peers.drop(server, "ours")
    floor = min(one.seconds for one in plain)
    best = min(ours, key=lambda one: one["seconds"])
    return {
        "plain_restore_seconds": round(floor, 2),
        "restore_load_seconds": round(best["load_seconds"], 2),
        "plain_restore_cpu_seconds": round(min(one.cpu for one in plain), 2),
        "restore_cpu_seconds": round(min(our_cpu), 2),
        "restore_verify_seconds": round(best["verify_seconds"], 2),
        "restore_load_ratio": round(best["load_seconds"] / floor, 3),
        "restore_with_verify_ratio": round(best["seconds"] / floor, 3),
        "restore_rss_megabytes": round(max(one["rss_megabytes"] for one in ours), 1),
    }


GOALS: dict[str, Callable[[float], bool]] = {
    "backup_throughput_ratio": lambda value: value >= 0.9,
    "restore_load_ratio": lambda value: value <= 1.15,
    "backup_rss_megabytes": lambda value: value <= 200,
    "restore_rss_megabytes": lambda value: value <= 200,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2000, help="size of the database; default 2000")
    parser.add_argument("--rounds", type=int, default=2, help="how often each side runs; the best counts")
    parser.add_argument("--backup-only", action="store_true", help="leave the restores out")
    parser.add_argument("--s3", choices=["light", "moto"], default="light", help="what plays S3")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        run_job(json.loads(given.job))
        return
    found = bench(given.megabytes, given.rounds, not given.backup_only, given.s3)
    missed = [name for name, good in GOALS.items() if name in found and not good(found[name])]
    print(json.dumps({**found, "missed": missed}, indent=2))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
