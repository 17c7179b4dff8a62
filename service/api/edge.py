"""The outermost layer: identifies, dispatches, counts and logs each request, and turns every failure into the
error format. Hot paths are called straight; everything else goes through Starlette's router.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from service.api.errors import ApiError
from service.api.exchange import CLIENT_CLOSED, Common, Exchange, Headers
from service.api.idle import sweep
from service.auth.credentials import NotAuthenticated
from service.background import forever
from service.middleware.cors import Cors
from service.providers.errors import ProviderError
from service.storage.database import StoreUnavailable
from service.telemetry.logs import JsonLog, where
from service.telemetry.metrics import Metrics
from service.telemetry.traces import Recording, Tracer

Handler = Callable[[Exchange], Awaitable[None]]

SWEEP_SECONDS: Final = 0.5
SECURITY_HEADERS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]


class Edge:
    """Called by `ApiProtocol` with each request. `hot` maps a path to (method, handler), `cold` takes the
    rest; `paths` has the hot ones as they stand in a request line; connections enter themselves.
    """

    def __init__(
        self,
        hot: dict[str, tuple[str, Handler]],
        cold: Callable[[Exchange], Awaitable[None]],
        metrics: Metrics,
        log: JsonLog,
        version: str,
        cors: Cors,
        tracer: Tracer | None = None,
    ) -> None:
        self._hot = hot
        self._cold = cold
        self._metrics = metrics
        self._log = log
        self._cors = cors
        self._tracer = tracer
        self.paths = {path.encode(): path for path in hot}
        self.connections: set[Any] = set()
        self.common = Common([(b"build", version.encode()), *SECURITY_HEADERS], self._describe)
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._open: set[Exchange] = set()
        metrics.http_in_flight.labels().set_function(lambda: float(len(self._open)))
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def open_requests(self) -> int:
        return len(self._open)

    def drain(self) -> None:
        """From now on every answer asks the client (or balancer) to use another connection."""
        self.common = Common(self.common.headers, self._describe, closing=True)

    def start(self) -> None:
        self._sweeper = forever(self._sweep, "sweeper")

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        self._open.add(exchange)
        if self._tracer is not None and exchange.path not in QUIET:
            trace = exchange.trace = self._tracer.begin(exchange.headers, exchange.started)
            exchange.lines = b"x-trace-id: %b\r\n" % trace.id.encode()
        try:
            if b"origin" in exchange.headers:
                exchange.response_headers += self._cors.headers(exchange.headers)
            route = self._hot.get(exchange.path)
            if route is not None and route[0] == exchange.method:
                exchange.template = exchange.path
                await route[1](exchange)
            elif exchange.method == "OPTIONS":
                await self._preflight(exchange)
            else:
                await self._cold(exchange)
        except asyncio.CancelledError:
            await self._cancelled(exchange)
        except Exception as error:
            await self._failed(exchange, error)
        finally:
            self._open.discard(exchange)
            self._account(exchange)

    async def _preflight(self, exchange: Exchange) -> None:
        exchange.template = "preflight"
        exchange.response_headers = []
        allowed = self._cors.preflight(exchange.headers)
        if allowed is None:
            raise ApiError(403, "This origin may not call from a browser; see SUPERAGENT_CORS_ORIGINS.")
        await exchange.respond(204, allowed, b"")

    async def _cancelled(self, exchange: Exchange) -> None:
        """Cancelled by the sweeper (slow body), by the client going away, or by the server stopping."""
        if exchange.timed_out and exchange.status == 0:
            exchange.task.uncancel()
            await exchange.fail(ApiError(408, "The request's body did not arrive in time."))
        elif exchange.disconnected:
            exchange.task.uncancel()
            exchange.status = CLIENT_CLOSED
        else:
            if exchange.status == 0:
                await exchange.fail(ApiError(503, "This server is stopping.", retry_after=1))
            raise

    async def _failed(self, exchange: Exchange, error: Exception) -> None:
        if exchange.status != 0:
            # The head is out: the only honest thing left is to break the connection off, and an app that
            # returns before its answer is whole makes the server do so.
            self._log.write(
                "error", "broken_response", {"request_id": exchange.request_id, "error": where(error)}
            )
            return
        await exchange.fail(self._describe(error, exchange))

    def _describe(self, error: Exception, exchange: Exchange) -> ApiError:
        return as_api_error(error, exchange, self._log)

    def _account(self, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.started
        identity = (exchange.method, exchange.template, exchange.status)
        children = self._children.get(identity)
        if children is None:
            children = self._children[identity] = self._label(*identity)
        children[0].value += 1
        children[1].observe(seconds)
        fields, trace = exchange.fields, exchange.trace
        if trace is not None:
            if trace.recording is not None:
                self._trace(exchange, trace.recording)
            fields["trace_id"] = trace.id
        if self._log.info_on and exchange.template not in QUIET:
            principal = exchange.principal
            fields["request_id"] = exchange.request_id
            fields["method"] = exchange.method
            fields["path"] = exchange.template
            fields["status"] = exchange.status
            fields["ms"] = int(seconds * 1e6) / 1000
            fields["client"] = principal.id if principal is not None else None
            self._log.write("info", "request", fields)

    def _trace(self, exchange: Exchange, recording: Recording) -> None:
        if self._tracer is not None:
            principal = exchange.principal
            method = exchange.method if exchange.method in METHODS else "_OTHER"
            attributes = {
                "superagent.request_id": exchange.request_id,
                "superagent.client": principal.id if principal is not None else None,
                "superagent.outcome": exchange.fields.get("outcome"),
                "superagent.cache": exchange.fields.get("cache"),
            }
            self._tracer.answered(recording, method, exchange.template, exchange.status, attributes)

    def _label(self, method: str, template: str, status: int) -> tuple[Any, Any]:
        known = method if method in METHODS else "OTHER"
        path = template or "unmatched"
        return (
            self._metrics.http_requests.labels(known, path, str(status)),
            self._metrics.http_duration.labels(known, path),
        )

    async def _sweep(self) -> None:
        """Ends slow bodies, unread answers and silent connections: one task for all, not a timer each."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for exchange in list(self._open):
                if 0.0 < exchange.body_deadline < now and not exchange.timed_out:
                    exchange.timed_out = True
                    exchange.task.cancel()
            for connection in list(self.connections):
                sweep(connection, now)


METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
QUIET: Final = frozenset({"/health/live", "/health/ready", "/health"})


def as_api_error(error: Exception, exchange: Exchange, log: JsonLog) -> ApiError:
    """What the client is told about any failure. Only the unforeseen is logged with its traceback."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, NotAuthenticated):
        return ApiError(401, str(error))
    if isinstance(error, StoreUnavailable):
        return ApiError(
            503, "A store this request needs does not answer; try again.", retry_after=error.retry_after
        )
    if isinstance(error, ProviderError):
        who = f"{error.provider}: " if error.provider else ""
        return ApiError(
            error.http_status, who + error.message, param=error.param, retry_after=error.retry_after
        )
    log.write(
        "error",
        "unexpected",
        {"request_id": exchange.request_id, "path": exchange.template, "error": where(error)},
    )
    return ApiError(500, "Something went wrong here; the request id finds it in the logs.")
