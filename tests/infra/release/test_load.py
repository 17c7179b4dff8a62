"""The load of the release tests must tell what it saw: a failure that nobody can find proves nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.infra.release.load import Load
from tests.parts import wait_until

ANSWERS = {"sick": (500, b"{}"), "torn": (200, b"{"), "well": (200, b"{}")}


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = ANSWERS[self.path.split("/")[1]]
            self.send_response(status)
            self.send_header("build", "v2")
            self.send_header("x-request-id", "r-1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(("path", "why"), [("sick", "500 from v2, request r-1"), ("torn", "JSONDecodeError")])
def test_a_failed_request_is_kept_with_its_time_and_what_went_on(
    server: str, tmp_path: Path, path: str, why: str
) -> None:
    log = tmp_path / "failed"
    load = Load(f"{server}/{path}", "key", clients=1, streamers=0, log=log, stage="release 3 of 20")
    with pytest.raises(RuntimeError) as caught, load:
        wait_until(lambda: len(load.tally.failures) > 1, "two failures")
        raise RuntimeError("the test was ended")
    first = load.tally.failures[0]
    assert first.startswith("request of 0.")
    assert "(release 3 of 20): " in first
    assert why in first
    assert log.read_text().splitlines() == load.tally.failures
    (note,) = caught.value.__notes__
    assert "failures, answers: " in note
    assert first in note


def test_a_stream_without_its_end_is_a_failure(server: str) -> None:
    with Load(f"{server}/well", "key", clients=0, streamers=1) as load:
        wait_until(lambda: load.tally.failures != [], "a broken stream")
    assert "stream of 0." in load.tally.failures[0]
    assert "broke off after [], v2, request r-1" in load.tally.failures[0]


def test_what_went_well_is_counted(server: str) -> None:
    with Load(f"{server}/well", "key", clients=2, streamers=0) as load:
        wait_until(lambda: load.tally.answers["v2"] > 3, "answers")
    assert load.tally.failures == []
    assert load.tally.told().startswith("0 streams, 0 failures, answers: ")
