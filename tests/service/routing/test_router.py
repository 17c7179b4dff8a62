from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from random import Random

import pytest

from service.providers.base import (
    CanonicalRequest,
    Message,
    ProviderError,
    ProvidersUnavailable,
    StreamEnd,
    StreamEvent,
    StreamStart,
    Text,
    TextDelta,
    ThinkingDelta,
    UnknownModel,
)
from service.providers.config import parse_config
from service.routing.context import CallContext
from service.routing.router import Router
from tests.service.routing.scripted import Stage

TWO = b"""{"providers": [
  {"name": "a", "kind": "simulator", "models": ["echo"]},
  {"name": "b", "kind": "simulator", "models": ["echo"]}],
 "aliases": {"safe": ["a/echo;fail=%s", "b/echo"]},
 "routing": {"backoff_base": 0.0}}"""


def ask(model: str, text: str = "one two three") -> CanonicalRequest:
    return CanonicalRequest(model=model, messages=(Message("user", (Text(text),)),))


def context() -> CallContext:
    return CallContext(request_id="r", deadline=time.monotonic() + 5)


async def test_without_a_file_the_simulator_answers() -> None:
    router = Router.from_file(None)
    ctx = context()
    answer = await router.complete(ask("simulator/echo"), ctx)
    assert answer.text == "one two three"
    assert (ctx.provider, ctx.model, [a.outcome for a in ctx.attempts]) == ("simulator", "echo", ["ok"])
    assert ctx.usage is not None and (ctx.usage.input_tokens, ctx.usage.output_tokens) == (3, 3)


async def test_a_stream_says_the_same_as_the_whole_answer() -> None:
    router = Router.from_file(None)
    ctx = context()
    events = [event async for event in router.stream(ask("echo"), ctx)]
    assert isinstance(events[0], StreamStart) and isinstance(events[-1], StreamEnd)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "one two three"
    assert ctx.usage == events[-1].usage and ctx.ttft is not None


async def test_an_unknown_model_is_named() -> None:
    with pytest.raises(UnknownModel, match="gpt-9"):
        await Router.from_file(None).complete(ask("gpt-9"), context())


@pytest.mark.parametrize("fault", ["overloaded", "auth", "rate_limited", "internal"])
async def test_the_next_provider_answers_when_the_first_fails(fault: str) -> None:
    router = Router(parse_config(TWO % fault.encode()), rng=Random(1))
    ctx = context()
    await router.complete(ask("safe"), ctx)
    assert ctx.provider == "b"
    assert [a.provider for a in ctx.attempts][-1] == "b" and ctx.attempts[0].outcome == fault


async def test_a_clients_mistake_is_not_tried_elsewhere() -> None:
    router = Router(parse_config(TWO % b"bad_request"))
    ctx = context()
    with pytest.raises(ProviderError) as caught:
        await router.complete(ask("safe"), ctx)
    assert caught.value.kind == "bad_request" and len(ctx.attempts) == 1


async def test_a_stream_that_dies_is_an_error_and_never_moves_on() -> None:
    router = Router(parse_config(TWO % b"die"))
    ctx = context()
    seen = []
    with pytest.raises(ProviderError) as caught:
        async for event in router.stream(ask("safe", "1 2 3 4 5"), ctx):
            seen.append(event)
    assert caught.value.kind == "transport"
    assert len(seen) == 4 and [a.outcome for a in ctx.attempts] == ["transport"]
    assert ctx.usage is not None and ctx.usage.estimated and ctx.usage.output_tokens > 0


async def test_reasoning_that_was_delivered_counts_when_its_stream_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def thinks(*_: object) -> AsyncGenerator[StreamEvent, None]:
        yield StreamStart("x", "m")
        for _ in range(10):
            yield ThinkingDelta("hmm " * 10)

    stage = Stage("a", prices={"a": 1.0})
    ctx = stage.context()
    monkeypatch.setattr(stage.providers["a"], "stream", thinks)
    events = stage.router.stream(ask("m"), ctx)
    async for event in events:
        if isinstance(event, ThinkingDelta):
            break
    await events.aclose()
    assert ctx.usage is not None and ctx.usage.estimated and ctx.usage.output_tokens == 10
    assert ctx.cost_usd > 0


async def test_when_nobody_answers_the_reasons_are_told() -> None:
    config = TWO.replace(b'"b/echo"]', b'"b/echo;fail=auth"]') % b"overloaded"
    with pytest.raises(ProvidersUnavailable) as caught:
        await Router(parse_config(config)).complete(ask("safe"), context())
    assert caught.value.reasons == ("a/echo;fail=overloaded: overloaded", "b/echo;fail=auth: auth")
    assert caught.value.http_status == 503
