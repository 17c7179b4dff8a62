"""Puts one environment's adviser together: clients in, a ready `Tool` out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from infra.advise import observe as reading
from infra.advise.action import Action
from infra.advise.apply import Driver
from infra.advise.effect import Piece
from infra.advise.hands import Hands
from infra.advise.journal import ChangeJournal
from infra.advise.observed import Observed
from infra.advise.pieces import pieces, touched_by
from infra.advise.service_api import ServiceSettings
from infra.advise.settings import Pace, pace
from infra.errors import OperationFailed, UserError
from infra.release import fleets
from infra.release.clock import Clock, SystemClock
from infra.release.fleet import Fleet
from infra.release.journal import Journal
from infra.release.lease import Lease
from infra.release.router import Router
from infra.release.secret_file import one_line
from infra.release.settings import profile
from infra.release.source_prometheus import Prometheus
from infra.release.wire import Address
from infra.stack import environment
from infra.stack.environment import Environment
from infra.stack.outputs import COLOURS, Colour

LEASE_SECONDS = 45.0
"""Longer than the longest wait for an answer of the metric store or of AWS."""


@dataclass(slots=True)
class Tool:
    """Everything a verb needs of one environment."""

    environment: str
    pace: Pace
    clock: Clock
    store: Prometheus
    fleet: Fleet
    router: Router
    settings: ServiceSettings
    journal: ChangeJournal
    releases: Journal
    lease: Lease

    def observe(self, seconds: float) -> Observed:
        """The stretch that ends now. Raises `StoreDown`; what else cannot be read is named in `unread`."""
        now = self.clock.now()
        seen = reading.observe(self.store, self.environment, now - seconds, now, self.pace.piece)
        unread: list[str] = []
        try:
            seen = replace(seen, settings=self.settings.read())
        except (OperationFailed, UserError) as failed:
            unread.append(f"runtime settings: {failed.message}")
        live = self.live()
        if live is not None:
            seen = replace(seen, live=live, capacity=self.fleet.capacity(live))
        return replace(seen, unread=tuple(unread))

    def live(self) -> Colour | None:
        """The colour with the most traffic."""
        weights = self.router.read().weights
        most = max(COLOURS, key=lambda colour: weights[colour])
        return most if weights[most] else None

    def measure(self, action: Action, until: float) -> list[Piece]:
        """The pieces that end at `until`, of the endpoints that the action can touch. Raises `StoreDown`."""
        chosen = self.pace
        return pieces(self.store, self.environment, until, chosen.piece, chosen.pieces, touched_by(action))

    def driver(self, tell: Callable[[str], None]) -> Driver:
        return Driver(
            journal=self.journal,
            lease=self.lease,
            hands=Hands(self.fleet, self.settings, self.router.healthy),
            measure=self.measure,
            pace=self.pace,
            clock=self.clock,
            tell=tell,
        )


def open_tool(stack: str, watch: float | None = None) -> Tool:
    """The adviser of a stack; `watch` seconds instead of its profile's. Raises `UserError`."""
    found = environment.load(stack)
    outputs = found.outputs
    chosen = pace(outputs.compute)
    if watch is not None and watch < chosen.watch:
        raise UserError(
            f"--watch {watch:.0f}s is too short for {stack}: pieces of {watch / chosen.pieces:.0f} s hold "
            "too few scrapes, and what nobody can see is taken back.",
            f"Give at least {chosen.watch:.0f}s, which is the default.",
        )
    if watch is not None:
        chosen = replace(chosen, piece=watch / chosen.pieces)
    clock = SystemClock()
    dynamodb = found.client("dynamodb")
    router = Router(found.client("elbv2"), outputs)
    name = outputs.environment
    return Tool(
        environment=name,
        pace=chosen,
        clock=clock,
        store=fleets.metric_store(found),
        fleet=fleets.build(found)[0],
        router=router,
        settings=ServiceSettings(lambda: _address(found, router), lambda: _admin_key(found)),
        journal=ChangeJournal(dynamodb, outputs.release_table, name),
        releases=Journal(dynamodb, outputs.release_table, name),
        lease=Lease(dynamodb, outputs.release_table, name, clock, max(LEASE_SECONDS, profile(name).lease)),
    )


def _address(found: Environment, router: Router) -> Address:
    protocol, port = router.address()
    if found.endpoint is not None:
        return Address("127.0.0.1", port)
    name = fleets.smoke_settings().server_name
    return Address(found.outputs.alb_dns_name, port, protocol == "HTTPS", name)


def _admin_key(found: Environment) -> str:
    if found.endpoint is not None:
        from infra.local.keys import local_key

        return local_key("advise_key", "superagent advise", "admin")
    path = os.environ.get("SUPERAGENT_ADMIN_KEY_FILE")
    if not path:
        raise UserError(
            "Reading and changing the service's settings needs an admin's key.",
            "Put one in a file and name it in SUPERAGENT_ADMIN_KEY_FILE.",
        )
    try:
        return one_line(Path(path))
    except OSError as failed:
        raise UserError(
            f"SUPERAGENT_ADMIN_KEY_FILE: {path} cannot be read ({failed.strerror}).", "Mend the path."
        ) from None
    except ValueError as wrong:
        raise UserError(f"SUPERAGENT_ADMIN_KEY_FILE: {wrong}.", "Leave nothing but the key in it.") from None
