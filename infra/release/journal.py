"""The release journal: one DynamoDB table, every write conditional, one owner at a time.

Items of one environment (partition key `release#<environment>`, sort key below):

| sk | holds |
|---|---|
| `lease` | owner, fencing token, expiry; the token only ever grows |
| `current` | id of the newest run |
| `run#<id>` | the run as JSON, its revision, and the token of its last writer |
| `event#<id>#<revision>` | what happened, for `history` |
| `ask#<id>` | what an operator asked of a run that another process drives |
| `migrations` | names and digests of the migration files that releases have applied |
| `totals` | transitions counted since the beginning, for metrics (infra/release/telemetry.py) |

A writer names its token and the revision it read. A run accepts neither an older token nor a revision
that moved, so an owner that lost its lease while it slept is refused, whatever its clock says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.release.lease import Lease, LeaseLost
from infra.release.partition import NEW, Partition
from infra.release.patience import CANCELLED, passing
from infra.release.state import Event, EventKind, Run

HISTORY_DAYS: Final = 400
"""Kept so long for audits; DynamoDB deletes older events by the `ttl` attribute."""


class StaleWrite(LeaseLost):
    """Another process wrote this run since it was read: stop, it is theirs."""


class RunInProgress(Exception):
    """A run of this environment has not ended yet."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"release {run.run_id} ({run.version}) is still in phase {run.phase}")
        self.run = run


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history."""

    at: float
    run_id: str
    revision: int
    by: str
    phase: str
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What an operator wants of a run, until its controller takes it."""

    ask_id: str
    kind: EventKind
    reason: str
    by: str


class Journal:
    """Reads and writes the runs of one environment; writing needs the `lease`."""

    def __init__(self, dynamodb: Any, table: str, environment: str) -> None:
        self._items = Partition(dynamodb, table, environment)
        self._revisions: dict[str, int] = {}

    # reading

    def current(self) -> Run | None:
        """The newest run, ended or not."""
        pointer = self._items.get("current")
        return self.read(pointer["run_id"]["S"]) if pointer else None

    def read(self, run_id: str) -> Run | None:
        """One run as it was written last; remembers its revision for the next `write`."""
        item = self._items.get(f"run#{run_id}")
        if item is None:
            return None
        self._revisions[run_id] = int(item["revision"]["N"])
        return Run.from_dict(json.loads(item["run"]["S"]))

    def runs(self, limit: int = 20) -> list[Run]:
        """The newest runs first (their ids begin with the time they were made)."""
        found = self._items.newest("run#", limit)
        return [Run.from_dict(json.loads(item["run"]["S"])) for item in found]

    def history(self, run_id: str, limit: int = 500) -> list[Entry]:
        """What happened in one run, oldest first."""
        found = self._items.newest(f"event#{run_id}#", limit)
        return [
            Entry(
                at=float(item["at"]["N"]),
                run_id=run_id,
                revision=int(item["revision"]["N"]),
                by=item["by"]["S"],
                phase=item["phase"]["S"],
                text=item["text"]["S"],
            )
            for item in reversed(found)
        ]

    def migrations(self) -> dict[str, str]:
        """Migration files that releases of this environment have applied, and their digests."""
        item = self._items.get("migrations")
        return {name: value["S"] for name, value in item["applied"]["M"].items()} if item else {}

    # writing

    def record_migrations(self, applied: Mapping[str, str], lease: Lease) -> None:
        """Remember what was applied; only the owner of the lease may."""
        item = {
            **self._items.key("migrations"),
            "applied": {"M": {name: {"S": d} for name, d in applied.items()}},
        }
        self._items.transact([self._items.owned(lease.token), self._items.put(item)])

    def create(self, run: Run, lease: Lease) -> None:
        """Begin a run. Raises `RunInProgress` when one is under way, `LeaseLost` without the lease."""
        before = self.current()
        if before is not None and not before.ended:
            raise RunInProgress(before)
        current = {**self._items.key("current"), "run_id": {"S": run.run_id}}
        self._transact(
            [
                self._items.owned(lease.token),
                self._items.put(current, NEW)
                if before is None
                else self._items.put(current, "run_id = :seen", {":seen": {"S": before.run_id}}),
                self._items.put(self._run_item(run, 1, lease), NEW),
                self._event(run, 1, lease, f"started: {run.kind} of {run.version}"),
            ],
            run,
            1,
        )
        self._revisions[run.run_id] = 1

    def write(self, run: Run, lease: Lease, text: str, taken: Ask | None = None) -> None:
        """Put the run and a line of history in one transaction (and take an operator's ask with it)."""
        seen = self._revisions[run.run_id]
        revision = seen + 1
        condition = "revision = :seen AND #token <= :token"
        values = {":seen": {"N": str(seen)}, ":token": {"N": str(lease.token)}}
        parts = [
            self._items.put(self._run_item(run, revision, lease), condition, values, {"#token": "token"}),
            self._event(run, revision, lease, text),
        ]
        if taken is not None:
            parts.append({"Delete": self._items.where(f"ask#{run.run_id}", *_stands(taken))})
        try:
            self._transact(parts, run, revision)
        except StaleWrite:
            waiting = self.asked(run.run_id) if taken is not None else None
            if waiting is None or taken is None or waiting.ask_id == taken.ask_id:
                raise
            self._transact(parts[:-1], run, revision)  # a newer ask stands there now: the next look takes it
        self._revisions[run.run_id] = revision

    def adopt(self, run_id: str, lease: Lease) -> Run:
        """Take over a run: stamp it with this lease's token, so that every earlier owner is refused."""
        run = self.read(run_id)
        if run is None:
            raise KeyError(run_id)
        self.write(run, lease, f"adopted by {lease.owner}")
        return run

    # operators

    def post(self, run_id: str, ask: Ask) -> None:
        """Leave an ask for the controller; the newest one wins."""
        self._items.replace(
            {
                **self._items.key(f"ask#{run_id}"),
                "ask_id": {"S": ask.ask_id},
                "kind": {"S": ask.kind},
                "reason": {"S": ask.reason},
                "by": {"S": ask.by},
            }
        )

    def asked(self, run_id: str) -> Ask | None:
        """The ask that waits, if any."""
        item = self._items.get(f"ask#{run_id}")
        if item is None:
            return None
        kind = EventKind(item["kind"]["S"])
        return Ask(item["ask_id"]["S"], kind, item["reason"]["S"], item["by"]["S"])

    def drop(self, run_id: str, ask: Ask) -> None:
        """Take back an ask that could not be followed; one that replaced it meanwhile stays."""
        self._items.remove(f"ask#{run_id}", *_stands(ask))

    # items

    def _run_item(self, run: Run, revision: int, lease: Lease) -> dict[str, Any]:
        return {
            **self._items.key(f"run#{run.run_id}"),
            "run": {"S": json.dumps(run.to_dict())},
            "revision": {"N": str(revision)},
            "token": {"N": str(lease.token)},
        }

    def _event(self, run: Run, revision: int, lease: Lease, text: str) -> dict[str, Any]:
        now = lease.clock.now()
        item = {
            **self._items.key(f"event#{run.run_id}#{revision:06d}"),
            "at": {"N": f"{now:.3f}"},
            "revision": {"N": str(revision)},
            "by": {"S": lease.owner},
            "phase": {"S": str(run.phase)},
            "text": {"S": text},
            "ttl": {"N": str(int(now + HISTORY_DAYS * 86_400))},
        }
        return self._items.put(item)

    def _transact(self, parts: list[dict[str, Any]], run: Run, revision: int) -> None:
        try:
            self._items.transact(parts)
        except ClientError as failed:
            if failed.response["Error"]["Code"] != CANCELLED or passing(failed):
                raise
            # A retry after a lost answer meets its own write: then all is well.
            item = self._items.get(f"run#{run.run_id}")
            mine = (
                item
                and int(item["revision"]["N"]) == revision
                and item["run"]["S"] == json.dumps(run.to_dict())
            )
            if not mine:
                raise StaleWrite("another controller took this release over; this one stops") from failed


def _stands(ask: Ask) -> tuple[str, dict[str, Any]]:
    """The condition that no newer ask has replaced this one."""
    return "attribute_not_exists(ask_id) OR ask_id = :taken", {":taken": {"S": ask.ask_id}}


def describe(event: Event) -> str:
    """An event as a line of history."""
    return f"{event.kind}: {event.reason}" if event.reason else str(event.kind)
