"""Serving: two sockets in one event loop, and an end that loses nothing.

SIGTERM: readiness goes red while requests are still accepted (the balancer needs a moment to notice), then
the sockets close and what is open may finish within the limit. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from typing import Any, Final

import uvicorn
import uvloop
from prometheus_client import generate_latest

from service.api.protocol import ApiProtocol, configured
from service.app import Service
from service.settings import Settings
from service.telemetry.logs import install

BACKLOG: Final = 2048


class CannotListen(Exception):
    """A socket is taken or not ours; the message names it."""


def listen(host: str, port: int, name: str) -> socket.socket:
    """Bind now, so that a taken port is one sentence and not a traceback."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise CannotListen(
            f"Cannot listen on {host}:{port} ({error.strerror}): stop what holds it or set {name}."
        ) from None
    sock.setblocking(False)
    return sock


def protocol(settings: Settings) -> type[ApiProtocol]:
    """The server's side of a connection, within what the settings allow one."""
    return configured(
        head_seconds=settings.header_timeout_seconds,
        head_bytes=settings.max_header_bytes,
        unread_seconds=settings.unread_timeout_seconds,
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: it would end the process with the signal instead of 0."""

    def capture_signals(self) -> Any:
        import contextlib

        return contextlib.nullcontext()


def serve(service: Service) -> int:
    """Run until a signal; returns the exit code. Raises `CannotListen`."""
    settings = service.settings
    api = listen(settings.host, settings.port, "SUPERAGENT_PORT")
    try:
        metrics = listen(settings.host, settings.metrics_port, "SUPERAGENT_METRICS_PORT")
    except CannotListen:
        api.close()
        raise
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(service, api, metrics))


async def _serve(service: Service, api: socket.socket, metrics: socket.socket) -> int:
    settings = service.settings
    loop = asyncio.get_running_loop()
    install(service.log)
    loop.set_exception_handler(_unseen)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    await service.start()
    # What start made lives for ever: the collector need not look at it again, and requests make few cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)

    server = _Server(
        _config(
            service.edge,
            http=protocol(settings),
            timeout_keep_alive=settings.keep_alive_seconds,
            timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        )
    )
    scrape = _Server(_config(_scrape_app(service), http="httptools", timeout_graceful_shutdown=1))

    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, _stop, server, service, stopping, settings.drain_notice_seconds)
    loop.add_signal_handler(signal.SIGINT, _stop, server, service, stopping, 0.0)

    scraping = asyncio.create_task(scrape.serve(sockets=[metrics]))
    service.log.write("info", "serving", {"host": settings.host, "port": settings.port})
    await server.serve(sockets=[api])
    scrape.should_exit = True
    await scraping
    await service.close()
    service.log.write("info", "stopped", {})
    return 0


def _unseen(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """As the loop's own handler, without its list of objects: a task's repr quotes its exception."""
    error = context.get("exception")
    told = (type(error), error, error.__traceback__) if isinstance(error, BaseException) else None
    logging.getLogger("asyncio").error("%s", context.get("message", "unknown"), exc_info=told)


def _config(app: Any, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        **options,
    )


def _stop(server: uvicorn.Server, service: Service, stopping: asyncio.Event, notice: float) -> None:
    if stopping.is_set():
        server.should_exit = True
        server.force_exit = True
        return
    stopping.set()
    service.log.write("info", "draining", {"open_requests": service.edge.open_requests})
    service.drain()
    asyncio.get_running_loop().call_later(notice, _close, server)


def _close(server: uvicorn.Server) -> None:
    server.should_exit = True


def _scrape_app(service: Service) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        found = scope["path"] == "/metrics"
        body = generate_latest(service.metrics.registry) if found else b"metrics are at /metrics\n"
        headers = [
            (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
