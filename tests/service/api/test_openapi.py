"""The OpenAPI document is valid, complete and true: schemathesis runs it against a real process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from service.api.docs import render
from service.api.openapi import OPERATIONS, document
from tests.service.running import Process, prepare, process, running
from tests.service.stores import postgres

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_the_document_is_valid_and_the_page_shows_every_path() -> None:
    validate(document("1"))
    page = render(document("1"))
    for _, path, *_ in OPERATIONS:
        assert f"<code>{path}</code>" in page


@pytest.mark.component
async def test_the_document_names_exactly_what_is_served(database_url: str) -> None:
    prepare(database_url)
    async with running(database_url) as service:
        edge = service.service.edge
        served = {(method, path) for path, (method, _) in edge._hot.items()}
        for route in edge._cold._routes:  # type: ignore[attr-defined]
            path = route.path.replace(":path", "")
            served |= {(method, path) for method in route.methods - {"HEAD"}}
    documented = {(method.upper(), path) for method, path, *_ in OPERATIONS}
    # `embed` is missing from the router of this test, and the document does not list itself.
    assert documented - served == {("POST", "/v1/embeddings")}
    assert served - documented == {("GET", "/openapi.json"), ("GET", "/docs")}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, valkey_server: str) -> Iterator[tuple[Process, str]]:
    with postgres() as store:
        key = prepare(store.url, "admin")
        folder = tmp_path_factory.mktemp("service")
        environ = {"REDIS_URL": valkey_server, "JWT_KEYS": "k:" + "s" * 40, "LOG_LEVEL": "error"}
        with process(store.url, folder, AUTH_FAILURES_PER_MINUTE="1000000", **environ) as one:
            yield one, key


@pytest.mark.component
@pytest.mark.timeout(300)
def test_schemathesis_finds_nothing(service: tuple[Process, str], tmp_path: Path) -> None:
    one, key = service
    command = [
        Path(sys.executable).parent / "schemathesis", "run", f"{one.url}/openapi.json",
        "-H", f"Authorization: Bearer {key}", "--checks", CHECKS, "--max-examples", "15", "--seed", "7",
        "--generation-database", "none", "--phases", "examples,fuzzing", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
NAMES = """
model messages input prompt stream max_tokens temperature tools tool_choice stop system content name role
permissions limits n seed response_format
"""
FIELDS = st.sampled_from(NAMES.split())
PATHS = [(path, body) for method, path, _, _, body, *_ in OPERATIONS if method == "post" and body]


@pytest.mark.component
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from([path for path, _ in PATHS]),
    body=st.binary(max_size=200) | st.dictionaries(FIELDS, JSON, max_size=6) | JSON,
)
def test_no_body_is_a_5xx_and_every_refusal_keeps_the_format(
    service: tuple[Process, str], path: str, body: Any
) -> None:
    one, key = service
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(one.url + path.replace("{id}", "x"), data, method="POST")
    request.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status in (200, 201)
    except urllib.error.HTTPError as error:
        assert 400 <= error.code < 500
        told = json.loads(error.read())["error"]
        assert told["type"] and told["message"]


@pytest.mark.component
def test_awkward_bodies_are_answered_in_time(service: tuple[Process, str]) -> None:
    one, key = service
    message = '{"model":"echo","messages":[{"role":"user","content":%s}]}'
    bodies = [
        message % '"\\ud800"',
        message % '"nul \\u0000 in it"',
        message % json.dumps("x" * 7_000_000),
        message % ("[" * 50_000 + "]" * 50_000),
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        message % '"x"' + " " * 1000,
        '{"model":"echo","messages":[{"role":"user","content":"x"}],"max_tokens":1e999}',
        '{"model":"echo","messages":[{"role":"user","content":"x"}],"seed":' + "9" * 5000 + "}",
    ]

    async def send() -> list[int]:
        async with httpx.AsyncClient(base_url=one.url, timeout=20) as client:
            headers = {"authorization": f"Bearer {key}"}
            sent = [client.post("/v1/chat/completions", content=body, headers=headers) for body in bodies]
            return [response.status_code for response in await asyncio.gather(*sent)]

    assert set(asyncio.run(send())) <= {200, 400}
