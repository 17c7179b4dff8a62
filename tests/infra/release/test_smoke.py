"""Smoke scenarios: what they demand, how they are read, and what a broken answer is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import UserError
from infra.release import scenario
from infra.release.scenario import Scenario, Stream
from infra.release.wire import Answer

VERSION = {"version": "v2"}


def answer(body: bytes = b"{}", status: int = 200, total: float = 0.1, **headers: str) -> Answer:
    return Answer(status, headers, body, total / 2, total, 1)


@pytest.mark.parametrize(
    ("wanted", "found", "words"),
    [
        (Scenario("s", "/"), answer(status=503), "status 503, expected 200"),
        (Scenario("s", "/", headers={"build": "${version}"}), answer(build="v1"), "header build is 'v1'"),
        (Scenario("s", "/", within=1), answer(total=1.5), "took 1.50 s"),
        (Scenario("s", "/", first_byte_within=0.1), answer(total=1.5), "first byte after 0.75 s"),
        (Scenario("s", "/", contains="hello"), answer(), "lacks 'hello'"),
        (Scenario("s", "/", json={"a.0.b": 1}), answer(b'{"a": [{"b": 2}]}'), "a.0.b is 2, expected 1"),
        (Scenario("s", "/", json={"a": 1}), answer(b"<html>"), "not JSON"),
        (Scenario("s", "/", stream=Stream(2)), answer(b"data: 1\n\n"), "1 events"),
        (Scenario("s", "/", stream=Stream(1, "[DONE]")), answer(b"data: 1\n\ndata: 2\n"), "ends with '2'"),
    ],
)
def test_a_wrong_answer_is_named(wanted: Scenario, found: Answer, words: str) -> None:
    problem = scenario.problem(wanted, found, VERSION)
    assert problem is not None
    assert words in problem


def test_a_right_answer_has_no_problem() -> None:
    wanted = Scenario(
        "s", "/", headers={"Build": "${version}"}, json={"version": "${version}"}, stream=Stream(1, "[DONE]")
    )
    body = b'{"version": "v2"}'
    assert scenario.problem(Scenario("s", "/", json=wanted.json), answer(body, build="v2"), VERSION) is None
    stream = answer(b"data: 1\n\ndata: [DONE]\n\n", build="v2")
    assert scenario.problem(Scenario("s", "/", stream=wanted.stream), stream, VERSION) is None


def test_the_default_file_checks_version_key_answer_and_stream() -> None:
    found = {one.name: one for one in scenario.load(scenario.DEFAULT)}
    assert any(one.probe for one in found.values())
    assert any(one.stream for one in found.values())
    assert any(one.anonymous and one.status == 401 for one in found.values())
    assert any(one.headers.get("build") == "${version}" for one in found.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scenarios: []", "no list `scenarios`"),
        ("- a", "no list `scenarios`"),
        ("scenarios: [{name: x}]", "needs `name` and `path`"),
        ("scenarios: [{name: x, path: /, stauts: 200}]", "unknown field 'stauts'"),
        ("scenarios: [{name: x, path: /, status: ok}]", "status 'ok' has the wrong type"),
        ("scenarios: [{name: x, path: /, status: true}]", "status True has the wrong type"),
        ("scenarios: [{name: x, path: /, stream: 3}]", "stream 3"),
        ("scenarios: [", "is not YAML"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "smoke.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        scenario.load(path)
    assert words in refused.value.message
    assert str(path) in refused.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        scenario.load(tmp_path / "none.yaml")
