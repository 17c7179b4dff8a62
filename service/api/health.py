"""Health as balancers and people ask for it. None of these touches a store: they tell what is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import orjson

from service.api.exchange import JSON, Exchange

NO_STORE: Final = (b"cache-control", b"no-store")


class Schema(Protocol):
    """What health asks of the database."""

    unready: str


class Health:
    """`starting` and `draining` decide readiness, and a database that this node has never found prepared. A
    store that is away does not, or one lost store would take every node out of the balancer at once.
    """

    def __init__(
        self,
        version: str,
        colour: str,
        dependencies: Callable[[], dict[str, dict[str, Any]]],
        schema: Schema,
    ) -> None:
        self._version = version
        self._colour = colour
        self._dependencies = dependencies
        self._schema = schema
        self.starting = True
        self.draining = False

    async def live(self, exchange: Exchange) -> None:
        await exchange.respond(200, [JSON, NO_STORE], b'{"status":"live"}')

    async def ready(self, exchange: Exchange) -> None:
        unready = f"postgres: {self._schema.unready}" if self._schema.unready else ""
        holding = (("starting", self.starting), ("draining", self.draining), (unready, bool(unready)))
        reasons = [reason for reason, holds in holding if holds]
        body = orjson.dumps({"status": "not_ready" if reasons else "ready", "reasons": reasons})
        await exchange.respond(503 if reasons else 200, [JSON, NO_STORE], body)

    async def report(self, exchange: Exchange) -> None:
        await exchange.respond(200, [JSON, NO_STORE], orjson.dumps(self.state()))

    def state(self) -> dict[str, Any]:
        dependencies = self._dependencies()
        status = "ok" if all(one["up"] for one in dependencies.values()) else "degraded"
        if self.starting or self.draining:
            status = "starting" if self.starting else "draining"
        return {
            "status": status,
            "version": self._version,
            "colour": self._colour,
            "dependencies": dependencies,
        }
