from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.local.console import library
from infra.local.console.server import Views, serve
from infra.local.console.sources import fixed, readable

NOTHING = "http://127.0.0.1:1"


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def answering(answers: dict[str, Any]) -> Iterator[str]:
    """A server that gives these documents, and 404 for the rest."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(found if found is not None else {"error": "no"}).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@contextmanager
def console(prometheus: str = NOTHING, alertmanager: str = NOTHING) -> Iterator[Ask]:
    views = Views(fixed(prometheus, alertmanager), lambda: {"parts": []}, lambda: {"weights": {}})
    with running(serve(0, views)) as port:

        def ask(path: str, method: str = "GET", host: str | None = None) -> Any:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer.status, dict(answer.getheaders()), body

        yield ask


def test_the_page_comes_with_a_policy_that_lets_nothing_foreign_in() -> None:
    with console() as ask:
        status, headers, body = ask("/")
    assert status == 200
    assert b'id="panels"' in body
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe-eval" not in headers["Content-Security-Policy"]


def test_the_page_loads_only_files_that_are_served() -> None:
    with console() as ask:
        page = ask("/")[2].decode()
        for path in [part.split('"')[0] for part in page.split('="/')[1:]]:
            assert ask(f"/{path}")[0] == 200, path


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/%2e%2e%2fserver.py",
        "/static/",
        "/static/.hidden.js",
        "/dashboards/%2fetc%2fpasswd.json",
        "/runbooks/../../../pyproject.md",
        "/nothing",
        "/api/nothing",
    ],
)
def test_nothing_else_of_this_machine_can_be_read(path: str) -> None:
    with console() as ask:
        assert ask(path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example:80", "127.0.0.1.evil.example:80", "", "localhost"])
def test_a_foreign_name_that_points_here_is_refused(host: str) -> None:
    with console() as ask:
        assert ask("/api/parts", host=host or " ")[0] == 403
        assert ask("/api/parts", host="localhost:1")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_only_reads(method: str) -> None:
    with console() as ask:
        assert ask("/api/parts", method=method)[0] == 501


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("query", True),
        ("query_range", True),
        ("label/colour/values", True),
        ("admin/tsdb/delete_series", False),
        ("status/config", False),
        ("label/../../admin/values", False),
    ],
)
def test_of_prometheus_only_series_can_be_asked(path: str, allowed: bool) -> None:
    assert readable(path) is allowed
    with answering({f"/api/v1/{path}": {"status": "success"}}) as prometheus, console(prometheus) as ask:
        assert ask(f"/api/prometheus/{path}?query=up")[0] == (200 if allowed else 404)


def test_an_absent_prometheus_is_said_in_words() -> None:
    with console() as ask:
        status, _, body = ask("/api/prometheus/query?query=up")
    assert status == 503
    assert "127.0.0.1:1 does not answer" in json.loads(body)["error"]["message"]


def test_every_committed_dashboard_has_a_tab() -> None:
    with console() as ask:
        found = json.loads(ask("/api/dashboards")[2])["dashboards"]
        assert found[0] == {"uid": "superagent-production", "title": "SuperAgent / Production"}
        assert len(found) == 5
        for one in found:
            assert ask(f"/dashboards/{one['uid']}.json")[0] == 200


def alert(name: str, state: str, severity: str, **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity, "environment": "local", **labels},
        "annotations": {"summary": f"{name} summary", "description": "d"},
        "state": state,
        "activeAt": "2026-01-01T00:00:00Z",
    }


def test_alerts_come_in_order_of_urgency_and_know_what_is_muted() -> None:
    found = [
        alert("Slow", "firing", "warning"),
        alert("Soon", "pending", "critical"),
        alert("Down", "firing", "critical"),
        alert("Instance", "firing", "warning", instance="a"),
        alert("Watchdog", "firing", "none"),
    ]
    told = [{"labels": found[3]["labels"], "status": {"state": "suppressed"}}]
    with (
        answering({"/api/v1/alerts": {"data": {"alerts": found}}}) as prometheus,
        answering({"/api/v2/alerts": told}) as alertmanager,
        console(prometheus, alertmanager) as ask,
    ):
        document = json.loads(ask("/api/alerts")[2])
    assert [(one["name"], one["state"]) for one in document["alerts"]] == [
        ("Down", "firing"),
        ("Slow", "firing"),
        ("Soon", "pending"),
        ("Instance", "muted"),
    ]
    assert document["heartbeat"] is True
    assert document["delivered"] is True


def test_a_dead_alertmanager_is_told_apart_from_a_quiet_one() -> None:
    with answering({"/api/v1/alerts": {"data": {"alerts": []}}}) as prometheus, console(prometheus) as ask:
        assert json.loads(ask("/api/alerts")[2]) == {"alerts": [], "heartbeat": False, "delivered": False}


def test_a_chart_library_that_was_not_pinned_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho forged > uplot.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert library.fetch() == "the package is not the one that was pinned"
    assert not library.folder().exists()


def test_without_npm_the_page_says_so_and_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert library.fetch() == "this machine has no npm"
