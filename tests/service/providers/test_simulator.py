from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from service.providers.base import (
    CanonicalRequest,
    EmbeddingRequest,
    Image,
    Message,
    ProviderError,
    ResponseFormat,
    StreamEnd,
    Text,
    TextDelta,
    Timeouts,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
)
from service.providers.config import ConfigError
from service.providers.simulator import Simulator

Ask = Callable[..., CanonicalRequest]


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def simulator(clock: Time) -> Simulator:
    return Simulator(clock=clock, sleep=clock.sleep, timeouts=Timeouts(first_token=10, between_tokens=3))


@pytest.mark.parametrize("model", ["echo", "lorem", "lorem;tokens=7", "echo;ttft=1;rate=10"])
async def test_whole_and_streamed_answers_are_the_same_and_repeatable(
    simulator: Simulator, ask: Ask, model: str
) -> None:
    whole = await simulator.complete(ask("a b  c\n d", model), 9e9)
    again = await simulator.complete(ask("a b  c\n d", model), 9e9)
    events = [event async for event in simulator.stream(ask("a b  c\n d", model), 9e9)]
    assert whole == again and whole.model.startswith("simulator/")
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == whole.text
    end = events[-1]
    assert isinstance(end, StreamEnd) and (end.usage, end.finish) == (whole.usage, whole.finish)


async def test_a_seed_changes_invented_text_and_nothing_else_does(simulator: Simulator, ask: Ask) -> None:
    first = await simulator.complete(ask("x", "lorem", seed=1), 9e9)
    assert (await simulator.complete(ask("x", "lorem", seed=1, temperature=1.0), 9e9)).text == first.text
    assert (await simulator.complete(ask("x", "lorem", seed=2), 9e9)).text != first.text


async def test_latencies_are_kept_and_none_means_no_waiting(
    simulator: Simulator, clock: Time, ask: Ask
) -> None:
    await simulator.complete(ask("a b c", "echo"), 9e9)
    assert [e async for e in simulator.stream(ask("a b c", "echo"), 9e9)] and clock.slept == []
    [e async for e in simulator.stream(ask("a b c", "echo;ttft=0.5;rate=4"), 9e9)]
    assert clock.slept == [0.5, 0.25, 0.25]


async def test_limits_stops_and_formats(simulator: Simulator, ask: Ask) -> None:
    cut = await simulator.complete(ask("a b c d", "echo", max_tokens=2), 9e9)
    assert (cut.text, cut.finish, cut.usage.output_tokens) == ("a b", "length", 2)
    stopped = await simulator.complete(ask("a b STOP d", "echo", stop=("STOP",)), 9e9)
    assert (stopped.text, stopped.finish, stopped.stop_sequence) == ("a b ", "stop_sequence", "STOP")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"enum": ["x"]}}}
    form = ResponseFormat("json_schema", schema=schema)
    answer = await simulator.complete(ask("a", "echo", response_format=form), 9e9)
    assert msgspec.json.decode(answer.text) == {"n": 1, "s": "x"}


async def test_tools_are_called_and_their_results_read(simulator: Simulator, ask: Ask) -> None:
    tool = Tool("f", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
    first = await simulator.complete(ask("a", "tools", tools=(tool,)), 9e9)
    call = first.parts[0]
    assert isinstance(call, ToolCall) and first.finish == "tool_calls"
    assert msgspec.json.decode(call.arguments) == {"city": "example"}
    events = [e async for e in simulator.stream(ask("a", "tools", tools=(tool,)), 9e9)]
    assert "".join(e.arguments for e in events if isinstance(e, ToolCallDelta)) == call.arguments
    messages = (Message("user", (ToolResult(call.id, (Text("rain"),)), Image(url="x"))),)
    second = await simulator.complete(ask(messages=messages, model="tools", tools=(tool,)), 9e9)
    assert second.text == "rain [image]"
    forced = ask("a", "echo", tools=(tool,), tool_choice=ToolChoice("tool", "f"))
    assert (await simulator.complete(forced, 9e9)).finish == "tool_calls"
    never = ask("a", "tools", tools=(tool,), tool_choice=ToolChoice("none"))
    assert (await simulator.complete(never, 9e9)).text == "a"


@pytest.mark.parametrize("kind", ["overloaded", "rate_limited", "auth", "bad_request"])
async def test_errors_are_raised_as_told(simulator: Simulator, ask: Ask, kind: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await simulator.complete(ask("x", f"echo;fail={kind};retry_after=3"), 9e9)
    assert (caught.value.kind, caught.value.retry_after) == (kind, 3.0)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ("fail=hang", "timeout", 0),
        ("fail=hang;after=2", "timeout", 2),
        ("fail=die", "transport", 3),
        ("fail=die;after=0", "transport", 0),
        ("fail=garbage;after=1", "transport", 1),
    ],
)
async def test_streams_break_where_they_are_told_to(
    simulator: Simulator, ask: Ask, options: str, kind: str, words: int
) -> None:
    seen = []
    with pytest.raises(ProviderError) as caught:
        async for event in simulator.stream(ask("1 2 3 4 5", f"echo;{options}"), 9e9):
            seen.append(event)
    assert caught.value.kind == kind
    assert sum(isinstance(event, TextDelta) for event in seen) == words


async def test_a_hang_ends_with_the_deadline(simulator: Simulator, clock: Time, ask: Ask) -> None:
    with pytest.raises(ProviderError) as caught:
        await simulator.complete(ask("x", "echo;fail=hang"), clock.now + 2)
    assert caught.value.kind == "timeout" and clock.slept == [2]


async def test_a_part_of_the_requests_fails_and_always_the_same(simulator: Simulator, ask: Ask) -> None:
    async def fails(text: str) -> bool:
        try:
            await simulator.complete(ask(text, "echo;fail=overloaded;fail_rate=0.3"), 9e9)
        except ProviderError:
            return True
        return False

    first = [await fails(f"question {n}") for n in range(400)]
    assert first == [await fails(f"question {n}") for n in range(400)]
    assert 80 < sum(first) < 160


async def test_near_texts_have_near_vectors(simulator: Simulator) -> None:
    texts = ("how is the weather in oslo", "how is the weather in bergen", "write a sorting function")
    answer = await simulator.embed(EmbeddingRequest(model="embed", inputs=texts), 9e9)
    a, b, c = answer.vectors
    near = sum(x * y for x, y in zip(a, b, strict=True))
    far = sum(x * y for x, y in zip(a, c, strict=True))
    assert near > 0.5 > far and sum(x * x for x in a) == pytest.approx(1)


@pytest.mark.parametrize(
    "options", ["ttft=soon", "speed=3", "fail=sometimes", "rate=-1", "ttft=nan", "tokens=1e99"]
)
async def test_wrong_options_are_the_clients_mistake(simulator: Simulator, ask: Ask, options: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await simulator.complete(ask("x", f"echo;{options}"), 9e9)
    assert (caught.value.kind, caught.value.param) == ("bad_request", "model")


def test_wrong_options_in_the_file_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"providers\.sim\.options"):
        Simulator("sim", options={"ttft": "soon"})
