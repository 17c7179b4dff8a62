"""`/v1/sessions`: kept when whole, one turn at a time, cut to the context, gone after their time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.api.errors import ApiError
from service.api.sessions import Turn, fitting
from service.providers.base import Message, Text
from service.providers.errors import ProviderError
from service.providers.tokens import TOKENS_PER_MESSAGE, estimate_text
from service.storage.conversations import Conversation
from tests.service.gated import GatedRouter
from tests.service.running import create_key, prepare, running
from tests.service.stores import Valkey, valkey

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def redis() -> Iterator[Valkey]:
    with valkey() as one:
        yield one


class Talk:
    """One session and the provider behind it."""

    def __init__(self, client: httpx.AsyncClient, router: GatedRouter, path: str, url: str) -> None:
        self.client, self.router, self.path, self.database_url = client, router, path, url

    def say(self, content: str, **more: Any) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(
            self.client.post(f"{self.path}/messages", json={"content": content, **more})
        )

    async def asked(self, calls: int) -> None:
        await until(lambda: self.router.calls == calls)

    async def kept(self) -> list[str]:
        return [one["content"] for one in (await self.client.get(self.path)).json()["messages"]]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def talk(database_url: str, redis: Valkey) -> AsyncIterator[Talk]:
    if redis.process is not None and redis.process.poll() is not None:
        redis.start()
    key, router = prepare(database_url, "chat"), GatedRouter()
    async with (
        running(database_url, router, REDIS_URL=redis.url) as service,
        httpx.AsyncClient(
            base_url=service.url, headers={"authorization": f"Bearer {key}"}, timeout=30
        ) as client,
    ):
        made = await client.post("/v1/sessions", json={"model": "m", "system": "be brief"})
        assert made.status_code == 201, made.text
        yield Talk(client, router, f"/v1/sessions/{made.json()['id']}", database_url)


async def test_a_streamed_answer_is_chat_events_and_is_kept(talk: Talk) -> None:
    talk.router.say("good ", "day")
    talk.router.finish()
    answer = await talk.say("hello", stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert '"object":"chat.completion.chunk"' in answer.text
    assert '"content":"good "' in answer.text
    assert '"completion_tokens":2' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    assert await talk.kept() == ["hello", "good day"]
    talk.router.say("again")
    talk.router.finish()
    assert (await talk.say("once more")).status_code == 200
    assert await talk.kept() == ["hello", "good day", "once more", "again"]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_broke_is_not_kept_and_the_next_turn_goes_on(talk: Talk, stream: bool) -> None:
    talk.router.say("half ")
    talk.router.fail(ProviderError("transport", "the upstream went away"))
    answer = await talk.say("hello", stream=stream)
    assert "the upstream went away" in answer.text
    assert "[DONE]" not in answer.text
    assert await talk.kept() == []
    talk.router.say("whole")
    talk.router.finish()
    await talk.say("hello", stream=stream)
    assert await talk.kept() == ["hello", "whole"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_second_turn_at_once_is_409_and_costs_nothing(talk: Talk, stream: bool) -> None:
    first = talk.say("first", stream=stream)
    await talk.asked(1)
    second = await talk.say("second")
    assert second.status_code == 409
    assert second.json()["error"]["type"] == "conflict_error"
    assert second.headers["retry-after"] == "1"
    assert talk.router.calls == 1
    talk.router.say("answer")
    talk.router.finish()
    assert (await first).status_code == 200
    talk.router.say("another")
    talk.router.finish()
    assert (await talk.say("second")).status_code == 200
    assert await talk.kept() == ["first", "answer", "second", "another"]


async def test_a_client_that_leaves_frees_its_session(talk: Talk) -> None:
    first = talk.say("first", stream=True)
    await talk.asked(1)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    await until(lambda: talk.router.ended == 1)
    talk.router.say("answer")
    talk.router.finish()
    async with asyncio.timeout(20):
        while (answer := await talk.say("second")).status_code == 409:
            await asyncio.sleep(0.01)
    assert answer.status_code == 200
    assert await talk.kept() == ["second", "answer"]


async def test_a_session_that_is_ended_meanwhile_keeps_nothing(talk: Talk) -> None:
    turn = talk.say("first")
    await talk.asked(1)
    assert (await talk.client.delete(talk.path)).json()["deleted"] is True
    talk.router.say("answer")
    talk.router.finish()
    assert (await turn).status_code == 409
    assert (await talk.client.get(talk.path)).status_code == 404


async def test_nobody_reaches_anothers_session(talk: Talk) -> None:
    other = {"authorization": f"Bearer {create_key(talk.database_url, 'chat')}"}
    assert (await talk.client.get(talk.path, headers=other)).status_code == 404
    assert (await talk.client.delete(talk.path, headers=other)).status_code == 404
    turn = await talk.client.post(f"{talk.path}/messages", json={"content": "x"}, headers=other)
    assert turn.status_code == 404
    assert talk.router.calls == 0


@pytest.mark.parametrize("refusal", ["unknown", "busy", "too long"])
async def test_a_turn_that_is_refused_counts_as_any_request(talk: Talk, refusal: str) -> None:
    body = {"name": "app", "permissions": ["chat"], "limits": {"requests_per_minute": 1, "burst": 3}}
    admin = {"authorization": f"Bearer {create_key(talk.database_url, 'admin')}"}
    made = await talk.client.post("/admin/api-keys", json=body, headers=admin)
    talk.client.headers["authorization"] = f"Bearer {made.json()['key']}"
    session = await talk.client.post("/v1/sessions", json={"model": "m"})
    talk.path = f"/v1/sessions/{session.json()['id']}"
    content, status = "x", 404
    if refusal == "unknown":
        talk.path = "/v1/sessions/sess_" + "0" * 32
    elif refusal == "too long":
        content, status = "word " * 100_000, 400
    else:
        busy, status = talk.say("first"), 409
        await talk.asked(1)
    left = 1 if refusal == "busy" else 2
    answers = [await talk.say(content) for _ in range(left + 1)]
    assert [one.status_code for one in answers] == [*[status] * left, 429]
    assert [one.headers["x-ratelimit-remaining"] for one in answers[-2:]] == ["0", "0"]
    if refusal == "busy":
        talk.router.say("answer")
        talk.router.finish()
        assert (await busy).status_code == 200


async def test_a_session_ends_after_its_time_and_each_turn_begins_it_anew(talk: Talk, redis: Valkey) -> None:
    made = await talk.client.post("/v1/sessions", json={"model": "m", "ttl_seconds": 1000})
    path = f"/v1/sessions/{made.json()['id']}"
    [key] = [one for one in _redis(redis, "KEYS", "*") if one.endswith(made.json()["id"])]
    assert 990 <= int(_redis(redis, "TTL", key)[0]) <= 1000
    _redis(redis, "EXPIRE", key, "50")
    talk.router.say("answer")
    talk.router.finish()
    assert (await talk.client.post(f"{path}/messages", json={"content": "x"})).status_code == 200
    assert int(_redis(redis, "TTL", key)[0]) > 900
    _redis(redis, "PEXPIRE", key, "1")
    async with asyncio.timeout(20):
        while (await talk.client.get(path)).status_code != 404:
            await asyncio.sleep(0.01)
    turn = await talk.client.post(f"{path}/messages", json={"content": "x"})
    assert (turn.status_code, turn.json()["error"]["param"]) == (404, "id")


def _redis(redis: Valkey, *command: str) -> list[str]:
    """One command on a connection of its own."""
    import socket

    import hiredis

    reader = hiredis.Reader(encoding="utf-8")
    with socket.create_connection(("127.0.0.1", redis.port), timeout=10) as sock:
        sock.sendall(hiredis.pack_command(command))
        while (reply := reader.gets()) is False:
            reader.feed(sock.recv(65_536))
    return reply if isinstance(reply, list) else [str(reply)]


async def test_without_redis_every_endpoint_of_sessions_is_503_and_says_when_to_try_again(
    talk: Talk, redis: Valkey
) -> None:
    redis.kill()
    calls = [
        talk.client.post("/v1/sessions", json={"model": "m"}),
        talk.client.get(talk.path),
        talk.client.delete(talk.path),
        talk.client.post(f"{talk.path}/messages", json={"content": "x"}),
        talk.client.post(f"{talk.path}/messages", json={"content": "x", "stream": True}),
    ]
    for answer in await asyncio.gather(*calls):
        assert answer.status_code == 503
        assert answer.json()["error"]["type"] == "unavailable_error"
        assert int(answer.headers["retry-after"]) >= 1
    assert talk.router.calls == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_redis_lost_in_the_middle_of_a_turn_is_told_not_hidden(
    talk: Talk, redis: Valkey, stream: bool
) -> None:
    turn = talk.say("x", stream=stream)
    await talk.asked(1)
    redis.kill()
    talk.router.say("answer")
    talk.router.finish()
    answer = await turn
    assert answer.status_code == (200 if stream else 503)
    assert '"type":"unavailable_error"' in answer.text
    assert "[DONE]" not in answer.text


async def test_without_redis_configured_there_are_no_sessions(database_url: str) -> None:
    key = prepare(database_url, "chat")
    async with running(database_url) as service, httpx.AsyncClient() as client:
        answer = await client.post(
            service.url + "/v1/sessions", json={"model": "m"}, headers={"authorization": f"Bearer {key}"}
        )
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


def session(*texts: str, system: str = "", model: str = "unknown") -> Conversation:
    roles = ("user", "assistant")
    messages = [Message(roles[index % 2], (Text(text),)) for index, text in enumerate(texts)]  # type: ignore
    return Conversation("s", model, system, 0.0, 60, messages)


def test_the_oldest_turns_give_way_to_what_the_model_can_read() -> None:
    turns = [f"{index} " + "word " * 1000 for index in range(20)]
    kept = fitting(session(*turns, system="be brief"), Turn("and now?", max_tokens=2000))
    texts = [part.text for message in kept for part in message.parts if isinstance(part, Text)]
    assert texts[-1] == "and now?"
    assert texts[:-1] == turns[-len(texts) + 1 :]
    assert kept[0].role == "user"
    used = sum(estimate_text(text) + TOKENS_PER_MESSAGE for text in texts)
    assert 8192 - 2000 - 2 * 1300 < used <= 8192 - 2000


@pytest.mark.parametrize(
    ("turn", "param"),
    [
        (Turn("word " * 100_000), "content"),
        (Turn("hello", max_tokens=8192), "max_tokens"),
        (Turn("hello", max_tokens=9_000_000), "max_tokens"),
    ],
)
def test_what_cannot_fit_is_refused_by_name(turn: Turn, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        fitting(session("a", "b"), turn)
    assert (caught.value.status, caught.value.param) == (400, param)
