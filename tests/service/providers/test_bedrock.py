from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import msgspec
import pytest
import pytest_asyncio
from botocore.credentials import RefreshableCredentials

from service.providers import bedrock_aws
from service.providers.base import (
    CanonicalRequest,
    Image,
    Message,
    ProviderError,
    ResponseFormat,
    StreamEnd,
    StreamStart,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Timeouts,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolResult,
)
from service.providers.bedrock import Bedrock
from service.providers.config import ConfigError, ProviderConfig
from tests.service.fakes.bedrock_api import ACCESS, MODEL, REGION, SECRET, TOKEN, FakeBedrock, frame
from tests.service.fakes.serving import serve

Ask = Callable[..., CanonicalRequest]
WEATHER = Tool("weather", "of a city", {"properties": {"city": {"type": "string"}}}, cache="5m")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[FakeBedrock, str]]:
    fake = FakeBedrock()
    with serve(fake) as url:
        fake.base = url
        yield fake, url


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest_asyncio.fixture
async def provider(server: tuple[FakeBedrock, str], credentials: None) -> AsyncIterator[Bedrock]:
    adapter = Bedrock(
        ProviderConfig(
            name="aws",
            kind="bedrock",
            base_url=server[1],
            region=REGION,
            models=(MODEL,),
            allow_private=True,
            timeouts=Timeouts(first_token=2, between_tokens=2),
        )
    )
    yield adapter
    await adapter.close()


async def test_a_signed_call_is_answered_and_counted(provider: Bedrock, ask: Ask, soon: float) -> None:
    answer = await provider.complete(ask("hello there", MODEL), soon)
    assert (answer.text, answer.finish) == ("hello there", "stop")
    used = answer.usage
    assert (used.input_tokens, used.output_tokens) == (33, 6)
    assert (used.cache_read_tokens, used.cache_write_tokens, used.cache_write_1h_tokens) == (20, 3, 2)


async def test_a_streamed_answer_says_and_counts_the_same(provider: Bedrock, ask: Ask, soon: float) -> None:
    events = [event async for event in provider.stream(ask("hello there", MODEL), soon)]
    assert isinstance(events[0], StreamStart)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "hello there"
    end = events[-1]
    assert isinstance(end, StreamEnd) and (end.finish, end.usage.input_tokens) == ("stop", 33)


async def test_thinking_and_tools_there_and_back(provider: Bedrock, ask: Ask, soon: float) -> None:
    request = ask("weather?", MODEL, tools=(WEATHER,), reasoning_effort="low", temperature=0.3)
    first = await provider.complete(request, soon)
    thought, call = first.parts
    assert thought == Thinking("let me see", "c2ln")
    assert isinstance(call, ToolCall) and json.loads(call.arguments) == {"city": "Oslo"}
    history = (
        Message("system", (Text("be brief", "1h"),)),
        Message("user", (Text("weather?"),)),
        Message("assistant", (thought, call)),
        Message("user", (ToolResult(call.id, (Text("rain"),), is_error=True), Text("and now?"))),
        Message("user", (Image(data="aGk=", media_type="image/png"),)),
    )
    second = await provider.complete(ask(messages=history, model=MODEL, tools=(WEATHER,)), soon)
    assert second.text == "and now? [image]"


async def test_streamed_thinking_and_tool_calls(provider: Bedrock, ask: Ask, soon: float) -> None:
    request = ask("x", MODEL, tools=(WEATHER,), thinking_budget=2_000)
    events = [event async for event in provider.stream(request, soon)]
    thoughts = [(e.text, e.signature) for e in events if isinstance(e, ThinkingDelta)]
    assert thoughts == [("let me see", ""), ("", "c2ln")]
    assert [e.name for e in events if isinstance(e, ToolCallStart)] == ["weather"]
    text = "".join(e.arguments for e in events if isinstance(e, ToolCallDelta))
    assert json.loads(text) == {"city": "Oslo"} and events[-1].finish == "tool_calls"  # type: ignore[union-attr]


async def test_every_field_fits_awss_own_service_model(
    provider: Bedrock, server: tuple[FakeBedrock, str], ask: Ask, soon: float
) -> None:
    request = ask(
        "x",
        MODEL,
        tools=(msgspec.structs.replace(WEATHER, strict=True),),
        tool_choice=ToolChoice("tool", "weather"),
        response_format=ResponseFormat("json_schema", schema={"type": "object"}, description="d"),
        max_tokens=9,
        temperature=1.5,
        top_p=0.9,
        top_k=5,
        stop=("x",),
        seed=7,
    )
    await provider.complete(request, soon)
    body = server[0].requests[-1]
    assert body["inferenceConfig"] == {"maxTokens": 9, "temperature": 1.0, "stopSequences": ["x"]}
    assert body["additionalModelRequestFields"] == {"top_k": 5}
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "weather"}}


async def test_an_image_by_address_is_refused_with_the_reason(
    provider: Bedrock, ask: Ask, soon: float
) -> None:
    messages = (Message("user", (Image(url="https://e.org/a.png"),)),)
    with pytest.raises(ProviderError, match="base64") as caught:
        await provider.complete(ask(messages=messages, model=MODEL), soon)
    assert caught.value.kind == "bad_request"


@pytest.mark.parametrize(
    ("status", "name", "message", "kind"),
    [
        (400, "ValidationException", "Input is too long for requested model.", "context_too_long"),
        (400, "ValidationException", "bad", "bad_request"),
        (403, "AccessDeniedException", "no", "auth"),
        (404, "ResourceNotFoundException", "no", "not_found"),
        (408, "ModelTimeoutException", "late", "timeout"),
        (424, "ModelErrorException", "oops", "internal"),
        (429, "ThrottlingException", "slow", "rate_limited"),
        (400, "ServiceQuotaExceededException", "no", "quota"),
        (429, "ModelNotReadyException", "wait", "overloaded"),
        (500, "InternalServerException", "oops", "internal"),
        (503, "ServiceUnavailableException", "busy", "overloaded"),
    ],
)
async def test_errors_find_their_kind(
    provider: Bedrock,
    server: tuple[FakeBedrock, str],
    ask: Ask,
    soon: float,
    status: int,
    name: str,
    message: str,
    kind: str,
) -> None:
    server[0].fail_next(status, {"message": message}, {"x-amzn-errortype": f"{name}:http://x/"})
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ask("x", MODEL), soon)
    assert (caught.value.kind, caught.value.status) == (kind, status)


START = frame("messageStart", {"role": "assistant"})
WORD = frame("contentBlockDelta", {"delta": {"text": "hi"}, "contentBlockIndex": 0})
DAMAGED = bytearray(WORD)
DAMAGED[-5] ^= 1


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (b"", "transport"),
        (frame("throttlingException", {"message": "slow"}, "exception"), "rate_limited"),
        (frame("modelStreamErrorException", {"message": "oops"}, "exception"), "internal"),
        (bytes(DAMAGED), "transport"),
        (b"this is no event stream at all", "transport"),
    ],
)
async def test_a_stream_that_does_not_end_well_is_an_error(
    provider: Bedrock, server: tuple[FakeBedrock, str], ask: Ask, soon: float, tail: bytes, kind: str
) -> None:
    server[0].stream_next([START + WORD, tail])
    with pytest.raises(ProviderError) as caught:
        async for _ in provider.stream(ask("x", MODEL), soon):
            pass
    assert caught.value.kind == kind


async def test_wrong_credentials_are_an_auth_error_without_them(
    server: tuple[FakeBedrock, str],
    credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    ask: Ask,
    soon: float,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other-secret")
    config = ProviderConfig(name="aws", kind="bedrock", base_url=server[1], region=REGION, allow_private=True)
    provider = Bedrock(config)
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ask("x", MODEL), soon)
    assert caught.value.kind == "auth" and "other-secret" not in str(caught.value)
    await provider.close()


def test_a_missing_region_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ConfigError, match=r"providers\.aws\.region"):
        Bedrock(ProviderConfig(name="aws", kind="bedrock"))


async def test_the_check_reaches_the_endpoint(provider: Bedrock, soon: float) -> None:
    await provider.check(soon)


def test_the_fake_is_one_that_the_official_client_believes(
    server: tuple[FakeBedrock, str], credentials: None
) -> None:
    # A session of its own: the default one keeps the credentials of whoever used it first in this process.
    session = boto3.Session()
    client = session.client("bedrock-runtime", endpoint_url=server[1], region_name=REGION)
    messages = [{"role": "user", "content": [{"text": "hi you"}]}]
    whole = client.converse(modelId=MODEL, messages=messages)  # type: ignore[arg-type]
    assert whole["output"]["message"]["content"][0]["text"] == "hi you"
    stream = client.converse_stream(modelId=MODEL, messages=messages)["stream"]  # type: ignore[arg-type]
    words = [e["contentBlockDelta"]["delta"]["text"] for e in stream if "contentBlockDelta" in e]
    assert "".join(words) == "hi you"


class Renewed:
    """Credentials as botocore refreshes them: from somewhere that answers, fails or hangs."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0
        self.broken = False
        self.answer = threading.Event()
        self.loop_thread = threading.get_ident()

    def fetch(self) -> dict[str, str]:
        assert threading.get_ident() != self.loop_thread, "the loop stands still meanwhile"
        self.asked += 1
        self.answer.wait(30)
        if self.broken:
            raise OSError("no metadata service")
        end = datetime.now(UTC) + timedelta(hours=6)
        return {"access_key": ACCESS, "secret_key": SECRET, "token": TOKEN, "expiry_time": end.isoformat()}

    def session(self) -> Any:
        now = datetime.now(UTC)
        end = now + timedelta(seconds=self.seconds)
        made = RefreshableCredentials(ACCESS, SECRET, TOKEN, end, self.fetch, "test")
        return SimpleNamespace(get_credentials=lambda: made)


async def test_nobody_waits_for_new_credentials_while_the_old_ones_are_good(
    provider: Bedrock, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They should be renewed in their last quarter of an hour, and whoever gives them is away."""
    renewed = Renewed(seconds=800)
    renewed.broken = True
    renewed.answer.set()
    monkeypatch.setattr(bedrock_aws, "get_session", renewed.session)
    for _ in range(5):
        await provider.complete(ask(model=MODEL), time.monotonic() + 10)
    assert renewed.asked == 1


async def test_credentials_that_do_not_come_cost_no_more_than_a_connection_may(
    server: tuple[FakeBedrock, str], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = Renewed(seconds=10)
    monkeypatch.setattr(bedrock_aws, "get_session", renewed.session)
    adapter = Bedrock(
        ProviderConfig(
            name="aws", kind="bedrock", base_url=server[1], region=REGION, models=(MODEL,),
            allow_private=True, timeouts=Timeouts(connect=0.05),
        )
    )  # fmt: skip
    try:
        async with asyncio.timeout(10):
            for _ in range(3):
                with pytest.raises(ProviderError, match="in time"):
                    await adapter.complete(ask(model=MODEL), time.monotonic() + 60)
        assert renewed.asked == 1
        renewed.answer.set()
        await adapter.complete(ask(model=MODEL), time.monotonic() + 60)
    finally:
        renewed.answer.set()
        await adapter.close()
