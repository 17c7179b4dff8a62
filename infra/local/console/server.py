"""The console's HTTP server: static files, the dashboards' JSON, and read-only views of the sources.

It listens on loopback, answers GET only, and refuses foreign Host headers, so that no page elsewhere can
read it through a name that points here (DNS rebinding).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from infra.home import CHECKOUT
from infra.local.console import alerts, library, system
from infra.local.console.sources import Sources, Unreachable, get, readable

STATIC: Final = Path(__file__).parent / "static"
DASHBOARDS: Final = CHECKOUT / "dashboards" / "json"
RUNBOOKS: Final = CHECKOUT / "alerts" / "runbooks"
FIRST: Final = ("superagent-production", "superagent-llm", "superagent-release", "superagent-recovery")
"""Order of the tabs; others follow by name."""

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".md": "text/markdown; charset=utf-8",
}
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


@dataclass(frozen=True, slots=True)
class Views:
    """What the page asks for beside files; each returns a JSON document."""

    sources: Sources
    parts: Callable[[], dict[str, Any]]
    traffic: Callable[[], dict[str, Any]]

    def answer(self, path: str, query: str) -> Answer:
        """The answer for a path below /api/."""
        if path == "dashboards":
            return _json(200, _dashboards())
        if path == "alerts":
            return _json(200, alerts.current(self.sources))
        if path == "parts":
            return _json(200, self.parts())
        if path == "traffic":
            return _json(200, self.traffic())
        what = path.removeprefix("prometheus/")
        if what != path and readable(what):
            status, body = get(self.sources.prometheus(), f"/api/v1/{what}?{query}")
            return status, TYPES[".json"], body
        return _error(404, "There is nothing at this path.")


def views(sources: Sources) -> Views:
    """The local system's, with slow ones kept for a moment."""
    return Views(sources, system.Kept(system.parts).get, system.Kept(system.traffic_now).get)


def serve(port: int, shown: Views) -> ThreadingHTTPServer:
    """A server bound to 127.0.0.1; the caller runs `serve_forever`. Raises `OSError` for a taken port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            self._send(self._answer())

        def _answer(self) -> Answer:
            if (self.headers.get("Host") or "").rpartition(":")[0] not in HOSTS:
                return _error(403, "This page answers to 127.0.0.1 and localhost only.")
            url = urlsplit(self.path)
            path = unquote(url.path)
            if not path.startswith("/api/"):
                return file(path)
            try:
                return shown.answer(path.removeprefix("/api/"), url.query)
            except Unreachable as why:
                return _error(503, str(why))

        def _send(self, answer: Answer) -> None:
            status, kind, body = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, text in HEADERS.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a page that refreshes every few seconds would fill the log."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    return server


def file(path: str) -> Answer:
    """A file of the page, a dashboard, a runbook, or the chart library; names with a slash are none."""
    if path == "/":
        path = "/static/index.html"
    folders = {
        "static": STATIC,
        "dashboards": DASHBOARDS,
        "runbooks": RUNBOOKS,
        "library": library.folder(),
    }
    _, _, rest = path.partition("/")
    folder, _, name = rest.partition("/")
    kind = TYPES.get(Path(name).suffix)
    if folder not in folders or "/" in name or name.startswith(".") or kind is None:
        return _error(404, "There is nothing at this path.")
    try:
        return 200, kind, (folders[folder] / name).read_bytes()
    except OSError:
        return _error(404, "There is nothing at this path.")


def _dashboards() -> dict[str, Any]:
    found = {path.stem: json.loads(path.read_text())["title"] for path in DASHBOARDS.glob("*.json")}
    order = [uid for uid in FIRST if uid in found] + sorted(set(found) - set(FIRST))
    return {
        "dashboards": [{"uid": uid, "title": found[uid]} for uid in order],
        "charts": all((library.folder() / name).exists() for name in library.FILES),
    }


def _json(status: int, document: dict[str, Any]) -> Answer:
    return status, TYPES[".json"], json.dumps(document).encode()


def _error(status: int, message: str) -> Answer:
    return _json(status, {"error": {"type": HTTPStatus(status).phrase, "message": message}})
