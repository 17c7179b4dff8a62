"""Notifications: complete, harmless when a channel is down, and without secrets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from infra.release.announce import Announcements, GrafanaAnnotations, title
from infra.release.state import Phase
from infra.release.telemetry import Ledger
from tests.infra.release.test_plan import RUN
from tests.infra.release.world import TABLE, FakeClock, client


class Sns:
    def __init__(self, away: bool = False) -> None:
        self.sent: list[dict[str, Any]] = []
        self.away = away

    def publish(self, **message: Any) -> None:
        if self.away:
            raise EndpointConnectionError(endpoint_url="https://sns.example")
        self.sent.append(message)


@pytest.fixture
def grafana() -> Iterator[tuple[str, list[tuple[dict[str, str], Any]]]]:
    seen: list[tuple[dict[str, str], Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(({**dict(self.headers.items()), "path": self.path}, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/grafana", seen
    server.shutdown()
    server.server_close()


pytestmark = pytest.mark.usefixtures("world")


def announcements(
    sns: Sns, folder: Path, said: list[str], grafana: GrafanaAnnotations | None = None
) -> Announcements:
    ledger = Ledger(client("dynamodb"), TABLE, "local")
    return Announcements(sns, "arn:topic", ledger, folder, FakeClock(), said.append, grafana)


def test_a_notification_says_what_where_and_what_next(tmp_path: Path) -> None:
    sns, said = Sns(), list[str]()
    run = replace(RUN, phase=Phase.PAUSED, weight=50, reason="somebody changed the weights")
    announcements(sns, tmp_path, said).announce(run)
    (message,) = sns.sent
    content = json.loads(message["Message"])["content"]
    assert len(message["Subject"]) <= 100
    assert content["title"] == f"⚠️ {title(run)}"
    assert content["description"] == "somebody changed the weights"
    assert any("resume" in step for step in content["nextSteps"])
    assert said == []


def test_a_channel_that_is_down_is_named_and_the_others_still_hear(tmp_path: Path) -> None:
    said: list[str] = []
    token = tmp_path / "token"
    token.write_text("secret-token\nand what no header can hold")
    down = GrafanaAnnotations("http://127.0.0.1:1", token)
    announcements(Sns(away=True), tmp_path, said, down).announce(RUN)
    assert [line.split()[0] for line in said] == ["SNS", "Grafana"]
    assert (tmp_path / "superagent_release.prom").exists()
    assert "secret-token" not in "".join(said)


def test_counters_go_on_on_another_machine_and_a_success_is_not_forgotten(tmp_path: Path) -> None:
    announcements(Sns(), tmp_path / "a", []).announce(replace(RUN, phase=Phase.SUCCEEDED, ended_at=17.0))
    announcements(Sns(), tmp_path / "b", []).announce(replace(RUN, phase=Phase.SUCCEEDED, ended_at=18.0))
    announcements(Sns(), tmp_path / "c", []).announce(replace(RUN, phase=Phase.ABORTED, ended_at=19.0))
    page = (tmp_path / "c" / "superagent_release.prom").read_text()
    assert 'outcome="success",step="succeeded"} 2.0' in page
    assert 'last_success_timestamp_seconds{environment="local"} 18.0' in page


def test_waiting_for_the_last_clients_is_not_a_release_in_progress(tmp_path: Path) -> None:
    for phase, value in ((Phase.BAKE, "1.0"), (Phase.LINGER, "0.0"), (Phase.RETIRE, "1.0")):
        announcements(Sns(), tmp_path, []).announce(replace(RUN, phase=phase))
        page = (tmp_path / "superagent_release.prom").read_text()
        assert f'superagent_release_in_progress{{environment="local"}} {value}' in page


def test_grafana_gets_an_annotation_with_tags(tmp_path: Path, grafana: Any) -> None:
    url, seen = grafana
    said: list[str] = []
    (tmp_path / "token").write_text("token\n")
    announcements(Sns(), tmp_path, said, GrafanaAnnotations(url, tmp_path / "token")).announce(RUN)
    ((headers, body),) = seen
    assert (headers["path"], headers["Authorization"]) == ("/grafana/api/annotations", "Bearer token")
    assert body["tags"] == ["release", "local", "green", "preflight"]
    assert said == []


def test_annotations_are_off_until_they_are_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SUPERAGENT_GRAFANA_URL", raising=False)
    assert GrafanaAnnotations.from_environment() is None
    token = tmp_path / "token"
    token.write_text("t\n")
    monkeypatch.setenv("SUPERAGENT_GRAFANA_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUPERAGENT_GRAFANA_TOKEN_FILE", str(token))
    found = GrafanaAnnotations.from_environment()
    assert found is not None
    assert found.token_file == token
