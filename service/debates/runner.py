"""The debates of one process: claims what nobody runs, keeps its leases alive, lets go when it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from typing import Any, Final

from service.auth.permissions import Principal
from service.background import forever
from service.debates.calls import Calls
from service.debates.engine import Engine, Released
from service.debates.records import Claimed, Lease
from service.debates.spec import Spec, Status
from service.debates.store import LeaseLost, Store
from service.storage.database import StoreUnavailable
from service.storage.journal import Journal
from service.telemetry.debates import DEBATE, DebateTrace
from service.telemetry.logs import JsonLog
from service.telemetry.metrics import Metrics
from service.telemetry.traces import Tracer

MOST_CLAIMS: Final = 50
"""A debate that was claimed so often kills whoever runs it: it is ended as failed."""
FOLLOW_SECONDS: Final = 0.5
BACKLOG: Final = 1_000

Event = tuple[str, dict[str, Any], int]
"""Name, data, and the number of the step that it tells of; 0 for none."""
Events = asyncio.Queue[Event | None]


class NoRoom(Exception):
    """This process runs as many debates as it may."""


class _Running:
    """A debate of ours; `valid_until` is when its lease ends as far as we know (monotonic)."""

    def __init__(self, lease: Lease, valid_until: float) -> None:
        self.lease = lease
        self.valid_until = valid_until
        self.attached = False
        self.renewed = asyncio.Event()
        self.lost = False
        self.listeners: list[Events] = []
        self.task: asyncio.Task[None] | None = None


class Runner:
    """`open` and `start` begin debates here; the loop takes over what other nodes left."""

    def __init__(
        self,
        store: Store,
        calls: Calls,
        journal: Journal,
        metrics: Metrics,
        log: JsonLog,
        *,
        lease_seconds: float,
        most: int,
        drain_seconds: float,
        tracer: Tracer | None = None,
    ) -> None:
        self.store = store
        self._calls = calls
        self._journal = journal
        self._metrics = metrics
        self._log = log
        self._lease_seconds = lease_seconds
        self._most = most
        self._drain_seconds = drain_seconds
        self._tracer = tracer
        self._leaving_since: float | None = None
        self._running: dict[str, _Running] = {}
        self._loop: asyncio.Task[None] | None = None
        self.owner = f"{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(4)}"
        metrics.debates_active.labels().set_function(lambda: float(len(self._running)))

    @property
    def leaving(self) -> bool:
        return self._leaving_since is not None

    @property
    def calls(self) -> Calls:
        return self._calls

    def start(self) -> None:
        self._loop = forever(self._tend, "debates")

    def drain(self) -> None:
        """Claim nothing more; debates nobody is connected to stop after the round they are in."""
        if self._leaving_since is None:
            self._leaving_since = time.monotonic()

    async def close(self) -> None:
        """Wait for rounds in flight as far as the drain time goes, then leave the rest to other nodes."""
        since = self._leaving_since
        self.drain()
        for one in self._running.values():
            one.attached = False
        tasks = [one.task for one in self._running.values() if one.task is not None]
        if tasks and since is not None:
            left = since + self._drain_seconds - time.monotonic()
            await asyncio.wait(tasks, timeout=max(0.0, left))
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- beginning, following, ending

    async def begin(self, spec: Spec, principal: Principal, *, attached: bool) -> tuple[str, Events | None]:
        """Create a debate and run it here when there is room; else it waits for any node's.

        `attached`: the caller waits for it and gets its events. Raises `NoRoom`, `TooMany` and
        `StoreUnavailable`.
        """
        identity = f"deb_{secrets.token_hex(16)}"
        room = self._leaving_since is None and len(self._running) < self._most
        if attached and not room:
            raise NoRoom
        await self.store.create(identity, spec, principal, self.owner if room else None)
        if not room:
            return identity, None
        claimed = Claimed(Lease(identity, self.owner, 1), spec, principal, {}, spec.deadline_seconds, 0.0)
        running = self._run(claimed)
        running.attached = attached
        events: Events = asyncio.Queue(BACKLOG)
        running.listeners.append(events)
        return identity, events

    async def ended(self, identity: str) -> Status:
        """Wait until the debate is over, here or anywhere."""
        while True:
            running = self._running.get(identity)
            if running is not None and running.task is not None:
                await asyncio.wait([running.task])
            with contextlib.suppress(StoreUnavailable):
                status = await self.store.status(identity)
                if status is not None and status != "running":
                    return status
            await asyncio.sleep(FOLLOW_SECONDS)

    def detach(self, identity: str) -> None:
        """Its client left and wants it to go on: from now on any node may run it."""
        running = self._running.get(identity)
        if running is not None:
            running.attached = False
            running.listeners.clear()

    async def cancel(self, account: str, identity: str) -> Status | None:
        """The status then, None for no such debate. Calls of ours that are on their way are hung up."""
        status, ended = await self.store.cancel(account, identity)
        if ended:
            self._metrics.debates.labels("cancelled").inc()
        running = self._running.get(identity)
        if status == "cancelled" and running is not None and running.task is not None:
            running.lost = True
            running.task.cancel()
        return status

    # --- running

    def _run(self, claimed: Claimed) -> _Running:
        one = _Running(claimed.lease, time.monotonic() + self._lease_seconds)
        self._running[claimed.lease.debate] = one
        one.task = asyncio.create_task(self._work(one, claimed), name=claimed.lease.debate)
        return one

    async def _work(self, one: _Running, claimed: Claimed) -> None:
        trace = DebateTrace(self._tracer, claimed.lease.debate) if self._tracer is not None else None
        DEBATE.set(trace)
        outcome = "stopped"

        def emit(name: str, data: dict[str, Any], seq: int) -> None:
            if trace is not None:
                trace.heard(name, data.get("round", 0))
            for listener in one.listeners:
                if not listener.full():
                    listener.put_nowait((name, data, seq))

        engine = Engine(
            claimed,
            self._calls,
            self.store,
            self._journal,
            ready=lambda: self._valid(one),
            leaving=lambda: self._leaving_since is not None and not one.attached,
            emit=emit,
        )
        identity = claimed.lease.debate
        try:
            if claimed.lease.epoch > MOST_CLAIMS:
                await self._failed(claimed.lease, "it was begun again too often")
                return
            status, result = await engine.run()
            outcome = status
            self._count(status, result, claimed)
        except LeaseLost:
            self._log.write("warning", "debate_lost", {"debate": identity})
        except (Released, asyncio.CancelledError) as error:
            if not one.lost:
                await self._release(one)
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:
            outcome = "failed"
            self._log.write("error", "debate_failed", {"debate": identity, "error": type(error).__name__})
            with contextlib.suppress(LeaseLost, StoreUnavailable):
                await self._failed(claimed.lease, "something went wrong here")
        finally:
            if trace is not None:
                trace.end(outcome)
            self._running.pop(identity, None)
            for listener in one.listeners:
                if listener.full():
                    listener.get_nowait()
                listener.put_nowait(None)

    def _count(self, status: Status, result: dict[str, Any], claimed: Claimed) -> None:
        metrics = self._metrics
        metrics.debates.labels(status).inc()
        metrics.debate_duration.observe(claimed.age + time.monotonic() - claimed.began)
        if status == "completed":
            metrics.debate_quality.observe(result["quality"]["score"])
            metrics.debate_consensus.observe(result["consensus"]["level"])

    async def _failed(self, lease: Lease, reason: str) -> None:
        await self.store.finish(lease, "failed", {"stopped": "error", "error": reason})
        self._metrics.debates.labels("failed").inc()

    async def _release(self, one: _Running) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self.store.release([one.lease])

    async def _valid(self, one: _Running) -> None:
        """Return while the lease holds; wait for its renewal when it may have run out."""
        while not one.lost and time.monotonic() >= one.valid_until:
            one.renewed.clear()
            await one.renewed.wait()
        if one.lost:
            raise LeaseLost(one.lease.debate)

    # --- leases

    async def _tend(self) -> None:
        pause = min(1.0, self._lease_seconds / 5)
        while True:
            try:
                await self._renew()
                if self._leaving_since is None and len(self._running) < self._most:
                    for claimed in await self.store.claim(self.owner, self._most - len(self._running)):
                        self._run(claimed)
            except StoreUnavailable:
                pass  # leases run out meanwhile; nobody else can take them either
            except Exception as error:
                self._log.write("error", "debates_loop", {"error": type(error).__name__})
            await asyncio.sleep(pause)

    async def _renew(self) -> None:
        asked = list(self._running.values())
        now = time.monotonic()
        held = await self.store.heartbeat([one.lease for one in asked])
        for one in asked:
            if one.lease.debate in held:
                one.valid_until = now + self._lease_seconds
            elif one.task is not None and await self.store.status(one.lease.debate) in (
                None,
                "running",
                "cancelled",
            ):
                one.lost = True  # else it has just ended, and its task is about to
                one.task.cancel()
            one.renewed.set()
