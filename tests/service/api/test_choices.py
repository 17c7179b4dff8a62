"""`n`: several answers to one request, through the official client; all of them or an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import asyncpg
import httpx
import openai
import pytest
import pytest_asyncio
from msgspec import structs

from service.api.choices import MAX_CHOICES
from service.providers import catalog
from service.providers.base import CanonicalRequest, CanonicalResponse, Message, StreamEvent, Text, Usage
from service.providers.errors import ProviderError
from service.routing.context import CallContext
from tests.service.fake import FakeRouter
from tests.service.running import Running, create_key, key_with_budget, prepare, running

pytestmark = pytest.mark.component

HELLO: Any = [{"role": "user", "content": "hello big world"}]


class Seeds(FakeRouter):
    """Says its seed after the question; those in `broken` fail, before or after they have begun."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[int, int] = {}
        self.running = self.most = 0

    def _told(self, request: CanonicalRequest) -> CanonicalRequest:
        text = " ".join(part.text for part in request.messages[-1].parts if isinstance(part, Text))
        said = Message("user", (Text(f"{text} {request.seed}"),))
        return structs.replace(request, messages=(said,))

    async def complete(self, request: CanonicalRequest, ctx: CallContext) -> CanonicalResponse:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            if request.seed in self.broken:
                raise ProviderError("rate_limited", "not this one", retry_after=3)
            return await super().complete(self._told(request), ctx)
        finally:
            self.running -= 1

    async def stream(self, request: CanonicalRequest, ctx: CallContext) -> AsyncGenerator[StreamEvent, None]:
        events, seen = super().stream(self._told(request), ctx), 0
        async for event in events:
            if self.broken.get(request.seed or 0, -1) == seen:
                await events.aclose()
                raise ProviderError("rate_limited", "not this one", retry_after=3)
            seen += 1
            yield event


Up = tuple[Running, Seeds, openai.AsyncOpenAI]


@pytest_asyncio.fixture
async def up(database_url: str, valkey_server: str) -> AsyncIterator[Up]:
    key, router = prepare(database_url, "chat"), Seeds()
    async with (
        running(database_url, router, REDIS_URL=valkey_server) as service,
        openai.AsyncOpenAI(api_key=key, base_url=service.url + "/v1", max_retries=0) as client,
    ):
        yield service, router, client


async def booked(database_url: str) -> list[tuple[str, int, int, float, int, bool]]:
    connection = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(20):
            while not (
                found := await connection.fetch(
                    "select outcome, input_tokens, output_tokens, cost_usd::float8, attempts, stream "
                    "from usage"
                )
            ):
                await asyncio.sleep(0.02)
            return [tuple(row) for row in found]
    finally:
        await connection.close()


def told(choices: dict[int, str]) -> dict[int, str]:
    return {index: text.strip() for index, text in choices.items()}


EACH = {0: "hello big world 7", 1: "hello big world 8", 2: "hello big world 9"}


async def test_the_official_client_gets_several_choices_at_once(up: Up, database_url: str) -> None:
    _, router, client = up
    answer = await client.chat.completions.create(model="m", messages=HELLO, n=3, seed=7)
    assert {one.index: one.message.content for one in answer.choices} == EACH
    assert router.most == 3  # side by side
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 12)
    assert await booked(database_url) == [("ok", 12, 12, 0.003, 3, False)]


async def test_the_official_client_streams_several_choices(up: Up, database_url: str) -> None:
    _, _, client = up
    stream = await client.chat.completions.create(
        model="m", messages=HELLO, n=3, seed=7, stream=True, stream_options={"include_usage": True}
    )
    seen, finished, last = {0: "", 1: "", 2: ""}, [], None
    async for chunk in stream:
        last = chunk
        for one in chunk.choices:
            seen[one.index] += one.delta.content or ""
            finished += [one.index] if one.finish_reason else []
    assert told(seen) == EACH
    assert sorted(finished) == [0, 1, 2]
    assert last is not None and last.usage is not None
    assert (last.choices, last.usage.completion_tokens) == ([], 12)
    assert await booked(database_url) == [("ok", 12, 12, 0.003, 3, True)]


async def test_the_synchronous_client_gets_them_too(up: Up) -> None:
    service, _, client = up

    def ask() -> tuple[dict[int, str], dict[int, str], dict[int, str]]:
        with openai.OpenAI(api_key=client.api_key, base_url=service.url + "/v1", max_retries=0) as sync:
            whole = sync.chat.completions.create(model="m", messages=HELLO, n=3, seed=7)
            streamed = {0: "", 1: "", 2: ""}
            for chunk in sync.chat.completions.create(model="m", messages=HELLO, n=3, seed=7, stream=True):
                for one in chunk.choices:
                    streamed[one.index] += one.delta.content or ""
            older = sync.completions.create(model="m", prompt="hello big world", n=3, seed=7, best_of=3)
            return (
                {one.index: one.message.content or "" for one in whole.choices},
                streamed,
                {one.index: one.text for one in older.choices},
            )

    assert [told(one) for one in await asyncio.to_thread(ask)] == [EACH] * 3


async def test_the_older_format_streams_several_choices_and_their_sum(up: Up) -> None:
    _, _, client = up
    stream = await client.completions.create(
        model="m", prompt="big", n=2, seed=7, stream=True, echo=True, stream_options={"include_usage": True}
    )
    seen, used = {0: "", 1: ""}, None
    async for chunk in stream:
        used = chunk.usage or used
        for one in chunk.choices:
            seen[one.index] += one.text
    assert told(seen) == {0: "bigbig 7", 1: "bigbig 8"}
    assert used is not None and used.completion_tokens == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_one_choice_that_cannot_begin_fails_the_request(up: Up, stream: bool) -> None:
    service, router, client = up
    router.broken[8] = 0
    with pytest.raises(openai.RateLimitError, match="not this one") as caught:
        await client.chat.completions.create(model="m", messages=HELLO, n=3, seed=7, stream=stream)
    assert caught.value.response.headers["retry-after"] == "3"
    assert router.running == 0
    assert service.service.edge.open_requests == 0


async def test_one_choice_that_breaks_cuts_the_stream(up: Up, database_url: str) -> None:
    _, router, client = up
    router.broken[8] = 2
    stream = await client.chat.completions.create(model="m", messages=HELLO, n=3, seed=7, stream=True)
    with pytest.raises(openai.APIError, match="not this one"):
        async for _ in stream:
            pass
    assert router.closed_streams == 3
    rows = await booked(database_url)
    assert [(row[0], row[4]) for row in rows] == [("cut", 3)]


@pytest.mark.parametrize("n", [0, MAX_CHOICES + 1, 10**30, "2", 1.5])
@pytest.mark.parametrize("path", ["chat/completions", "completions"])
async def test_a_wrong_number_is_refused_by_name(up: Up, n: Any, path: str) -> None:
    service, _, client = up
    body = {"model": "m", "messages": HELLO, "prompt": "x", "n": n}
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{service.url}/v1/{path}", json=body, headers={"authorization": f"Bearer {client.api_key}"}
        )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")


async def test_several_choices_are_never_answered_from_a_cache_nor_kept(up: Up) -> None:
    _, router, client = up
    for n in (2, 2, 1, 1, 2):
        raw = await client.chat.completions.with_raw_response.create(
            model="m", messages=HELLO, n=n, temperature=0, extra_headers={"x-superagent-cache": "use"}
        )
        how = raw.headers["x-superagent-cache"]
        assert (how == "bypass") == (n == 2)
    assert router.calls == 2 + 2 + 1 + 0 + 2


@pytest.mark.parametrize("redis", [True, False])
async def test_limits_count_every_choice(database_url: str, valkey_server: str, redis: bool) -> None:
    key = prepare(database_url, "chat")
    environ = {"REDIS_URL": valkey_server} if redis else {}
    async with (
        running(database_url, LIMIT_CLIENT_PER_MINUTE="10", **environ) as service,
        openai.AsyncOpenAI(api_key=key, base_url=service.url + "/v1", max_retries=0) as client,
    ):
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=HELLO, n=4)
        assert raw.headers["x-ratelimit-remaining"] == "6"
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="m", messages=HELLO, n=9)
        await client.chat.completions.create(model="m", messages=HELLO, n=6)
        # What is more than the limit itself asks for all of it: later it may pass.
        other = client.with_options(api_key=create_key(database_url, "chat"))
        await other.chat.completions.create(model="m", messages=HELLO, n=12)


async def test_a_budget_that_one_choice_fits_into_may_not_do_for_five(
    database_url: str, valkey_server: str
) -> None:
    prepare(database_url, "chat")
    price = catalog.find("gpt-5.4-mini").price  # type: ignore[union-attr]
    assert price is not None
    budget = 3 * price.cost(Usage(0, 1000))
    key = await asyncio.to_thread(key_with_budget, database_url, budget)
    async with (
        running(database_url, REDIS_URL=valkey_server) as service,
        openai.AsyncOpenAI(api_key=key, base_url=service.url + "/v1", max_retries=0) as client,
    ):
        ask: Any = {"model": "gpt-5.4-mini", "messages": HELLO, "max_tokens": 1000}
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(**ask, n=5)
        assert caught.value.status_code == 402
        assert service.router.calls == 0
        await client.chat.completions.create(**ask, n=2)


async def test_tokens_are_reserved_for_every_choice(database_url: str, valkey_server: str) -> None:
    key = prepare(database_url, "chat")
    router = FakeRouter(delay=0.05)
    async with (
        running(
            database_url, router, REDIS_URL=valkey_server, LIMIT_CLIENT_TOKENS_PER_MINUTE="1000"
        ) as service,
        openai.AsyncOpenAI(api_key=key, base_url=service.url + "/v1", max_retries=0) as client,
    ):
        # 300 tokens each: three choices leave no room for two more at the same time.
        first = asyncio.create_task(
            client.chat.completions.create(model="m", messages=HELLO, n=3, max_tokens=300)
        )
        while router.calls < 3:
            await asyncio.sleep(0.001)
        with pytest.raises(openai.RateLimitError, match="tokens"):
            await client.chat.completions.create(model="m", messages=HELLO, max_tokens=300)
        await first
        # What was not used is given back.
        await client.chat.completions.create(model="m", messages=HELLO, max_tokens=300)
