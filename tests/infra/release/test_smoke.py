"""Smoke scenarios: what they demand, how they are read, and what a broken answer is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.errors import UserError
from infra.release import scenario, smoke, wire
from infra.release.scenario import Scenario, Stream
from infra.release.smoke import NoModel, SmokeTests
from infra.release.wire import Address, Answer

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
        ("scenarios: [{name: x, path: '/${verison}'}]", "${verison} is no variable"),
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


def models(*named: tuple[str, str]) -> bytes:
    return json.dumps({"data": [{"id": name, "owned_by": owner} for name, owner in named]}).encode()


PAID = (("claude/sonnet", "claude"), ("openai/gpt", "openai"), ("best", "superagent"))


@pytest.mark.parametrize(
    ("listed", "chosen"),
    [
        (models(*PAID, ("simulator", "superagent")), "simulator"),
        (models(*PAID), "best"),
        (models(*PAID[:2]), "claude/sonnet"),
    ],
)
def test_the_model_is_one_that_the_service_offers(listed: bytes, chosen: str) -> None:
    assert smoke.choose(answer(listed)) == chosen


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (answer(models()), "SUPERAGENT_SMOKE_MODEL"),
        (answer(b"{}"), "did not answer with a list"),
        (answer(b"[]"), "did not answer with a list"),
        (answer(status=503), "answered 503"),
    ],
)
def test_a_service_without_a_model_is_named(listed: Answer, words: str) -> None:
    with pytest.raises(NoModel, match=words):
        smoke.choose(listed)


class Service:
    """A service that offers some models and answers chats of those alone."""

    def __init__(self, offered: bytes) -> None:
        self.offered, self.asked = offered, list[str]()

    def send(
        self, address: Address, method: str, path: str, headers: Any, body: bytes, limit: float
    ) -> Answer:
        if path == "/v1/models":
            return answer(self.offered)
        self.asked.append(json.loads(body)["model"])
        known = any(one["id"] == self.asked[-1] for one in json.loads(self.offered)["data"])
        return answer(b"{}", 200 if known else 404)


CHAT = Scenario("chat", "/v1/chat/completions", "POST", {"model": "${model}"}, probe=True)


def smoke_of(service: Service, monkeypatch: pytest.MonkeyPatch, model: str = "") -> SmokeTests:
    monkeypatch.setattr(wire, "send", service.send)
    return SmokeTests(lambda: Address("127.0.0.1", 1), [CHAT], lambda: "key", model)


def test_an_environment_without_the_simulator_is_smoked_with_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service(models(*PAID))
    smoked = smoke_of(service, monkeypatch)
    assert smoked.check("v2") is None
    smoked.probe()
    assert service.asked == ["best", "best"]


def test_a_named_model_wins_over_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(models(*PAID))
    assert smoke_of(service, monkeypatch, "openai/gpt").check("v2") is None
    assert service.asked == ["openai/gpt"]
    problem = smoke_of(service, monkeypatch, "gone").check("v2")
    assert problem is not None
    assert problem.startswith("chat: status 404")


def test_a_service_that_offers_nothing_fails_its_smoke_test(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = smoke_of(Service(models()), monkeypatch).check("v2")
    assert problem is not None
    assert "lists no model" in problem
