"""The service, put together: what exists, in which order it opens, and which path leads where."""

from __future__ import annotations

import asyncio
from typing import Any

from service.api.chat import ChatCompletions, Router
from service.api.cold import Cold
from service.api.edge import Edge, Handler
from service.api.gate import Gate
from service.api.health import Health
from service.auth.authenticator import Authenticator
from service.auth.keys import KeyStore
from service.settings import Settings
from service.storage.database import Database
from service.telemetry.logs import JsonLog
from service.telemetry.metrics import Metrics


class Service:
    """Everything one process holds. `start` opens in order, `close` closes in reverse; both are safe while
    stores are away.
    """

    def __init__(self, settings: Settings, router: Router) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.metrics.build_info.labels(settings.version, settings.colour).set(1)
        self.log = JsonLog(settings.log_level, version=settings.version, colour=settings.colour)
        self.database = Database(settings.database_url.get_secret_value(), settings.database_pool_size)
        self.database.on_change.append(self._dependency("postgres"))
        self.router = router
        self.keys = KeyStore(self.database)
        self.authenticator = Authenticator(
            self.keys, settings.auth_fresh_seconds, settings.auth_stale_seconds
        )
        self.health = Health(settings.version, settings.colour, self.dependencies)
        self.edge = self._edge()

    async def start(self) -> None:
        self.log.bind(asyncio.get_running_loop())
        await self.database.start()
        await self.router.start()
        self.edge.start()
        self.health.starting = False

    async def close(self) -> None:
        await self.edge.close()
        await self.router.close()
        await self.database.close()
        self.log.bind(None)

    def drain(self) -> None:
        """Readiness goes red; what is open may finish."""
        self.health.draining = True
        self.edge.drain()

    def dependencies(self) -> dict[str, dict[str, Any]]:
        return {"postgres": {"up": self.database.available, "reason": self.database.reason}}

    def _dependency(self, name: str) -> Any:
        gauge = self.metrics.dependency_up.labels(name)

        def changed(up: bool) -> None:
            gauge.set(1 if up else 0)
            self.log.write("info" if up else "warning", "dependency", {"dependency": name, "up": up})

        return changed

    def _edge(self) -> Edge:
        settings = self.settings
        gate = Gate(self.authenticator)
        chat = ChatCompletions(
            gate,
            self.router,
            max_body=settings.max_body_bytes,
            body_seconds=settings.body_timeout_seconds,
            seconds=settings.request_timeout_seconds,
        )
        hot: dict[str, tuple[str, Handler]] = {
            "/v1/chat/completions": ("POST", chat),
            "/health/live": ("GET", self.health.live),
            "/health/ready": ("GET", self.health.ready),
            "/health": ("GET", self.health.report),
        }
        cold = Cold([], {path: method for path, (method, _) in hot.items()})
        return Edge(hot, cold, self.metrics, self.log, settings.version)


def create_app(settings: Settings, router: Router | None = None) -> Service:
    """Build the service; nothing is opened before `start`. Tests may bring their own router."""
    if router is None:
        from service.routing.router import Router as ConfiguredRouter

        router = ConfiguredRouter.from_file(settings.providers_file)
    return Service(settings, router)
