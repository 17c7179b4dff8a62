"""Debates in Postgres. Everything that a node writes about a running debate carries its lease (owner and
epoch): a node that was replaced cannot write any more, whatever it still believes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from service.auth.permissions import Principal
from service.debates.records import (
    Claimed,
    Lease,
    Record,
    from_json,
    record_of,
    scrub,
    step_of,
    to_json,
)
from service.debates.spec import Spec, Status, Step, Steps
from service.storage.database import Database
from service.storage.ledger import book
from service.storage.usage import UsageRow

UNREAD: Final = "no server here can read it"
UNREAD_SECONDS: Final = 60.0
"""How long after its deadline a debate that this version cannot read is left to others."""
_CREATE_LOCK: Final = 0x5A_DE_BA_7E  # any number, the same on every node


class LeaseLost(Exception):
    """The debate is cancelled, or another node has it."""


class TooMany(Exception):
    """`scope` is `key` or `global`."""

    def __init__(self, scope: str, limit: int) -> None:
        self.scope = scope
        self.limit = limit
        super().__init__(scope, limit)


class Store:
    """Raises `StoreUnavailable` whenever Postgres is away."""

    def __init__(self, database: Database, *, per_key: int, total: int, lease_seconds: float) -> None:
        self._database = database
        self._per_key = per_key
        self._total = total
        self._lease_seconds = lease_seconds

    async def create(self, identity: str, spec: Spec, principal: Principal, owner: str | None) -> None:
        """Raises `TooMany`. With an owner the debate is claimed from the start."""
        async with self._database.connection() as connection, connection.transaction():
            # Counting and inserting must be one thing, or two requests at once would both slip through.
            await connection.execute("select pg_advisory_xact_lock($1)", _CREATE_LOCK)
            row = await connection.fetchrow(
                "select count(*) as total, count(*) filter (where account = $1) as own "
                "from debates where status = 'running'",
                principal.account,
            )
            if row["own"] >= self._per_key:
                raise TooMany("key", self._per_key)
            if row["total"] >= self._total:
                raise TooMany("global", self._total)
            await connection.execute(
                "insert into debates "
                "(id, account, key_id, spec, principal, deadline, owner, epoch, lease_until) "
                "values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7, $8, "
                "now() + make_interval(secs => $9))",
                identity,
                principal.account,
                principal.id,
                to_json(spec),
                to_json(principal),
                spec.deadline_seconds,
                owner,
                1 if owner is not None else 0,
                self._lease_seconds if owner is not None else 0.0,
            )

    async def claim(self, owner: str, most: int) -> list[Claimed]:
        """Take up to `most` debates that nobody runs, oldest first; two nodes never get the same one."""
        rows = await self._database.fetch(
            "update debates set owner = $1, epoch = epoch + 1, "
            "lease_until = now() + make_interval(secs => $2) "
            "where id in (select id from debates where status = 'running' and lease_until <= now() "
            "order by created_at limit $3 for update skip locked) "
            "returning id, epoch, spec, principal, "
            "extract(epoch from deadline - now())::float8 as left_seconds, "
            "extract(epoch from now() - created_at)::float8 as age",
            owner,
            self._lease_seconds,
            most,
        )
        claimed = []
        for row in rows:
            lease = Lease(row["id"], owner, row["epoch"])
            try:
                spec, principal = from_json(row["spec"], Spec), from_json(row["principal"], Principal)
                steps = await self.steps(row["id"])
            except msgspec.ValidationError:  # another version's; it must not hold up those claimed with it
                if row["left_seconds"] < -UNREAD_SECONDS:
                    await self.finish(lease, "failed", {"stopped": "error", "error": UNREAD})
                continue
            claimed.append(Claimed(lease, spec, principal, steps, row["left_seconds"], row["age"]))
        return claimed

    async def heartbeat(self, leases: list[Lease]) -> set[str]:
        """Prolong; returns the debates that are still ours."""
        if not leases:
            return set()
        rows = await self._database.fetch(
            "update debates set lease_until = now() + make_interval(secs => $3) "
            "from unnest($1::text[], $2::int[]) as held (debate, held_epoch) "
            "where id = debate and epoch = held_epoch and owner = $4 and status = 'running' returning id",
            [lease.debate for lease in leases],
            [lease.epoch for lease in leases],
            self._lease_seconds,
            leases[0].owner,
        )
        return {row["id"] for row in rows}

    async def release(self, leases: list[Lease]) -> None:
        """Let others claim them at once."""
        for lease in leases:
            await self._database.execute(
                "update debates set owner = null, lease_until = now() "
                "where id = $1 and owner = $2 and epoch = $3 and status = 'running'",
                lease.debate,
                lease.owner,
                lease.epoch,
            )

    async def add(self, lease: Lease, step: Step, row: UsageRow | None) -> None:
        """Store a step, and what it cost in the same transaction. Raises `LeaseLost`."""
        async with self._database.connection() as connection, connection.transaction():
            await self._fence(connection, lease)
            stored = await connection.fetchrow(
                "insert into debate_steps (debate_id, id, kind, round, participant, status, provider, model, "
                "attempts, text, input_tokens, output_tokens, cost_usd, seconds, error, data) "
                "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) "
                "on conflict do nothing returning seq",
                lease.debate, step.id, step.kind, step.round, step.participant, step.status,
                scrub(step.provider), scrub(step.model), step.attempts, scrub(step.text),
                step.input_tokens, step.output_tokens, step.cost_usd, step.seconds,
                scrub(step.error), to_json(step.data),
            )  # fmt: skip
            if stored is not None and row is not None:
                await book(connection, row)
            if stored is None:  # by ourselves, when the answer to a commit was lost
                stored = await connection.fetchrow(
                    "select seq from debate_steps where debate_id = $1 and id = $2", lease.debate, step.id
                )
        step.seq = stored["seq"]

    async def finish(self, lease: Lease, status: Status, result: dict[str, Any]) -> None:
        """Raises `LeaseLost`."""
        async with self._database.connection() as connection, connection.transaction():
            await self._fence(connection, lease)
            await connection.execute(
                "update debates set status = $2, result = $3, finished_at = now(), owner = null "
                "where id = $1",
                lease.debate,
                status,
                to_json(result),
            )

    async def cancel(self, account: str, identity: str) -> tuple[Status | None, bool]:
        """End a running debate; (the status it has then, None when there is none; whether this ended it)."""
        row = await self._database.fetchrow(
            "update debates set status = 'cancelled', finished_at = now(), owner = null, epoch = epoch + 1 "
            "where id = $1 and account = $2 and status = 'running' returning status",
            identity,
            account,
        )
        if row is None:
            row = await self._database.fetchrow(
                "select status from debates where id = $1 and account = $2", identity, account
            )
            return (row["status"] if row is not None else None), False
        return "cancelled", True

    # --- reading

    async def load(self, account: str, identity: str) -> Record | None:
        row = await self._database.fetchrow(
            "select * from debates where id = $1 and account = $2", identity, account
        )
        return record_of(row, await self.steps(identity)) if row is not None else None

    async def status(self, identity: str) -> Status | None:
        row = await self._database.fetchrow("select status from debates where id = $1", identity)
        return row["status"] if row is not None else None

    async def list(self, account: str, status: str | None, before: str | None, limit: int) -> list[Record]:
        """Newest first, without their steps; `before` is the id of the last one already seen."""
        rows = await self._database.fetch(
            "select * from debates where account = $1 and ($2::text is null or status = $2) "
            "and ($3::text is null or (created_at, id) < "
            "(select created_at, id from debates where id = $3 and account = $1)) "
            "order by created_at desc, id desc limit $4",
            account,
            status,
            before,
            limit,
        )
        return [record_of(row, {}) for row in rows]

    async def steps(self, identity: str) -> Steps:
        rows = await self._database.fetch(
            "select *, extract(epoch from at)::float8 as seconds_at from debate_steps where debate_id = $1 "
            "order by at, id",
            identity,
        )
        return {row["id"]: step_of(row) for row in rows}

    async def steps_after(self, identity: str, seq: int) -> Sequence[Step]:
        """Steps stored after the one with this number, in the order in which they were."""
        rows = await self._database.fetch(
            "select *, extract(epoch from at)::float8 as seconds_at from debate_steps "
            "where debate_id = $1 and seq > $2 order by seq",
            identity,
            seq,
        )
        return [step_of(row) for row in rows]

    async def forget(self, days: int, most: int) -> int:
        """Remove up to `most` debates that ended so long ago, oldest first; never one that runs."""
        status = await self._database.execute(
            "delete from debates where id in (select id from debates where status <> 'running' "
            "and finished_at < now() - make_interval(days => $1) order by finished_at limit $2 "
            "for update skip locked)",
            days,
            most,
        )
        return int(status.rpartition(" ")[2])

    async def _fence(self, connection: Any, lease: Lease) -> None:
        held = await connection.fetchrow(
            "select 1 from debates "
            "where id = $1 and owner = $2 and epoch = $3 and status = 'running' for update",
            lease.debate,
            lease.owner,
            lease.epoch,
        )
        if held is None:
            raise LeaseLost(lease.debate)
