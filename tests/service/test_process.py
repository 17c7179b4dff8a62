"""The service as a process: it starts without its stores, drains, and loses nothing when it is killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.parts import free_port, wait_until
from tests.service.running import ROOT, create_key, prepare, process, ready
from tests.service.stores import postgres
from tests.service.traffic import Traffic, ask

pytestmark = pytest.mark.component


def test_sigterm_turns_readiness_red_finishes_streams_and_ends_with_0(
    database_url: str, tmp_path: Path
) -> None:
    key = prepare(database_url, "chat")
    with process(database_url, tmp_path, DRAIN_NOTICE_SECONDS="0.5") as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
        body = {"model": "lorem;tokens=40;rate=20", "stream": True}
        body["messages"] = [{"role": "user", "content": "tell me"}]  # type: ignore[assignment]
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer {key}"}
        )
        response = connection.getresponse()
        assert response.readline().startswith(b"data: ")
        service.signal(signal.SIGTERM)
        wait_until(lambda: service.status("/health/ready") == 503, "readiness is red")
        assert ask(service.port, key).status == 200  # the balancer has not noticed yet
        assert response.read().endswith(b"data: [DONE]\n\n")
        assert service.stop() == 0
    assert [line["event"] for line in service.log if line["event"] in ("draining", "stopped")] == [
        "draining",
        "stopped",
    ]


def test_what_does_not_finish_within_the_limit_is_ended_with_an_error(
    database_url: str, tmp_path: Path
) -> None:
    key = prepare(database_url, "chat")
    with process(database_url, tmp_path, DRAIN_NOTICE_SECONDS="0", DRAIN_SECONDS="1") as service:
        with Traffic(service.port, key, threads=1, body={"model": "echo;latency=60"}) as traffic:
            wait_until(lambda: _in_flight(service.metrics_port) == 1, "the request is on its way")
            assert service.stop() == 0
        assert traffic.answers[0].status == 503
        assert traffic.answers[0].error == "unavailable_error"


def _in_flight(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        for line in response.read().decode().splitlines():
            if line.startswith("superagent_http_requests_in_flight "):
                return float(line.split()[1])
    raise AssertionError("no such metric")


@pytest.mark.parametrize("stream", [False, True])
def test_kill_9_under_load_loses_no_answered_request_and_books_none_twice(
    tmp_path: Path, stream: bool
) -> None:
    with postgres() as store:
        ready(store.url)
        key = create_key(store.url, "chat")
        with process(store.url, tmp_path) as service:
            with Traffic(service.port, key, body={"stream": stream}) as traffic:
                for _ in range(2):
                    traffic.more(50)
                    service.signal(signal.SIGKILL)
                    service.process.wait(10)
                    service.start()
                traffic.more(20)
            assert service.stop() == 0
        booked = store.query("select request_id from usage where outcome = 'ok'")
        answered = {answer.request_id for answer in traffic.answers if answer.status == 200}
        assert len(booked) == len(set(booked))
        assert answered <= set(booked)
        assert traffic.statuses() <= {200, 0}
        sums = store.query("select requests from key_usage")
        assert int(sums[0]) == int(store.query("select count(*) from usage")[0])


def test_a_start_without_postgres_serves_and_calls_nobody_wrong(tmp_path: Path) -> None:
    lost = f"postgresql://postgres@127.0.0.1:{free_port()}/x"
    with process(lost, tmp_path) as service:
        health = json.load(urllib.request.urlopen(service.url + "/health", timeout=5))
        assert health["status"] == "degraded"
        assert health["dependencies"]["postgres"]["up"] is False
        answer = ask(service.port, "sk-" + "x" * 43)
        assert (answer.status, answer.error) == (503, "unavailable_error")
        assert service.stop() == 0


def _fails(tmp_path: Path, **environ: str) -> str:
    base = {name: value for name, value in os.environ.items() if not name.startswith("SUPERAGENT_")}
    given = {
        "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/x",
        "PORT": str(free_port()),
        "METRICS_PORT": str(free_port()),
        "JOURNAL_DIR": str(tmp_path / "journal"),
        **environ,
    }
    done = subprocess.run(
        [sys.executable, "-m", "service"],
        env={**base, **{f"SUPERAGENT_{name}": value for name, value in given.items()}},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        message = _fails(tmp_path, METRICS_PORT=str(port))
    assert message.startswith(f"Cannot listen on 127.0.0.1:{port}")
    assert "SUPERAGENT_METRICS_PORT" in message


def test_a_journal_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "SUPERAGENT_JOURNAL_DIR" in _fails(tmp_path, JOURNAL_DIR=str(tmp_path / "file" / "x"))


def test_a_wrong_redis_url_is_one_sentence(tmp_path: Path) -> None:
    assert "redis://" in _fails(tmp_path, REDIS_URL="http://somewhere")


def test_a_missing_providers_file_is_one_sentence(tmp_path: Path) -> None:
    assert "nowhere.json" in _fails(tmp_path, PROVIDERS_FILE=str(tmp_path / "nowhere.json"))
