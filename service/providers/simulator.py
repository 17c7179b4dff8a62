"""A provider without a model, for tests, drills and the first minute: it says so in its name.

The same request gets the same answer, always. `model` picks the answer, options after `;` the
behaviour, for one request (`simulator/echo;ttft=0.2;rate=20`) or as `options` in PROVIDERS_FILE:

| option | meaning |
|---|---|
| `ttft` | seconds to the first token |
| `rate` | tokens per second after it; 0: as fast as possible |
| `latency` | seconds added to every call |
| `tokens` | length of the answer (`lorem`) |
| `fail` | an error kind (`overloaded`, …), or `hang`, `garbage`, `die`, `flood` |
| `fail_rate` | part of the requests that fail, 0 to 1, chosen by their content; default 1 |
| `after` | tokens before `hang`, `garbage` or `die` happens; default 0 for hang, 3 else |
| `retry_after` | seconds told with the error |
"""

from __future__ import annotations

import asyncio
import math
import re
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, get_args

from msgspec import Struct

from service.providers import simulated_text as answers
from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    ErrorKind,
    FinishReason,
    ProviderError,
    StreamEnd,
    StreamEvent,
    StreamStart,
    Text,
    TextDelta,
    Timeouts,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from service.providers.config import ConfigError

TOKEN: Final = re.compile(r"\s*\S+|\s+$")
FLOOD_EVENT: Final = "flood " * 2_000
FLOOD_EVENTS: Final = 2_000
FAILURES: Final = (*get_args(ErrorKind), "hang", "garbage", "die", "flood")


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """See the module's table."""

    ttft: float = 0.0
    rate: float = 0.0
    latency: float = 0.0
    tokens: int = 50
    fail: str = ""
    fail_rate: float = 1.0
    after: int = -1
    retry_after: float = 0.0


class Simulator:
    """Implements `Provider`; costs no time of its own when every latency is 0."""

    kind = "simulator"

    def __init__(
        self,
        name: str = "simulator",
        models: tuple[str, ...] = ("echo", "lorem", "tools"),
        options: dict[str, Any] | None = None,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.models = models
        self._timeouts = timeouts or Timeouts()
        self._clock = clock
        self._sleep = sleep
        try:
            self._defaults = _options(dict(options or {}))
        except ValueError as error:
            raise ConfigError(f"providers.{name}.options: {error}.") from None
        self._parsed: dict[str, tuple[str, Options]] = {}

    async def complete(self, request: CanonicalRequest, deadline: float) -> CanonicalResponse:
        base, options = self._behaviour(request.model)
        if options is not PLAIN:
            answer, usage = self._answer(base, options, request)
            await self._fail_early(request, options, deadline)
            seconds = options.ttft + options.latency
            if options.rate:
                seconds += usage.output_tokens / options.rate
            await self._pause(seconds, self._timeouts.total, deadline)
            if options.fail and self._fails(request, options):
                await self._fail_late(options, deadline)
        else:
            answer, usage = self._answer(base, options, request)
        return CanonicalResponse(
            id=_id(request),
            model=f"simulator/{base}",
            parts=answer.parts,
            finish=answer.finish,
            usage=usage,
            stop_sequence=answer.stop_sequence,
        )

    async def stream(self, request: CanonicalRequest, deadline: float) -> AsyncGenerator[StreamEvent, None]:
        base, options = self._behaviour(request.model)
        answer, usage = self._answer(base, options, request)
        await self._fail_early(request, options, deadline)
        fails = bool(options.fail) and self._fails(request, options)
        yield StreamStart(_id(request), f"simulator/{base}", usage.input_tokens)
        limits = self._timeouts
        await self._pause(options.ttft + options.latency, limits.first_token, deadline)
        gap = 1 / options.rate if options.rate else 0.0
        if fails and options.fail == "flood":
            for _ in range(FLOOD_EVENTS):
                yield TextDelta(FLOOD_EVENT)
                await asyncio.sleep(0)
        breaks_at = _breaks_at(options) if fails else math.inf
        for sent, event in enumerate(_events(answer.parts)):
            if sent >= breaks_at:
                break
            if gap and sent:
                await self._pause(gap, limits.between_tokens, deadline)
            yield event
        if fails and breaks_at is not math.inf:
            await self._fail_late(options, deadline)
        yield StreamEnd(answer.finish, usage, answer.stop_sequence)

    async def embed(self, request: EmbeddingRequest, deadline: float) -> EmbeddingResponse:
        size = request.dimensions or 256
        return EmbeddingResponse(
            model="simulator/embed",
            vectors=tuple([answers.vector(text, size) for text in request.inputs]),
            usage=Usage(input_tokens=sum([len(text.split()) for text in request.inputs])),
        )

    async def check(self, deadline: float) -> None:
        kind = self._defaults.fail
        if kind and self._defaults.fail_rate >= 1:
            raise ProviderError("overloaded", f"simulated failure: {kind}", provider=self.name)

    async def close(self) -> None:
        pass

    # --- behaviour ---------------------------------------------------------------------------------

    def _behaviour(self, model: str) -> tuple[str, Options]:
        known = self._parsed.get(model)
        if known is not None:
            return known
        base, _, rest = model.partition(";")
        wanted = {**_as_dict(self._defaults)}
        for pair in filter(None, rest.split(";")):
            key, _, value = pair.partition("=")
            wanted[key.strip()] = value.strip()
        try:
            options = _options(wanted)
        except ValueError as error:
            raise ProviderError("bad_request", f"simulator options: {error}", param="model") from None
        if len(self._parsed) < 1_000:  # model names come from clients: bounded
            self._parsed[model] = (base, options)
        return base, options

    def _answer(self, base: str, options: Options, request: CanonicalRequest) -> tuple[answers.Answer, Usage]:
        answer = answers.answer(base, options.tokens, request)
        written = sum([_tokens(part) for part in answer.parts])
        finish: FinishReason = answer.finish
        if request.max_tokens is not None and written > request.max_tokens:
            answer = answers.cut(answer, TOKEN, request.max_tokens)
            finish, written = "length", request.max_tokens
        asked = sum(
            [len(part.text.split()) for m in request.messages for part in m.parts if type(part) is Text]
        )
        return answer._replace(finish=finish), Usage(input_tokens=max(asked, 1), output_tokens=written)

    def _fails(self, request: CanonicalRequest, options: Options) -> bool:
        if options.fail_rate >= 1:
            return True
        return answers.fingerprint(request) % 10_000 < options.fail_rate * 10_000

    async def _fail_early(self, request: CanonicalRequest, options: Options, deadline: float) -> None:
        if not options.fail or not self._fails(request, options):
            return
        if options.fail == "hang" and options.after <= 0:
            await self._pause(math.inf, self._timeouts.first_token, deadline)
        if options.fail in get_args(ErrorKind):
            kind: Any = options.fail
            raise ProviderError(
                kind,
                f"simulated failure: {kind}",
                provider=self.name,
                retry_after=options.retry_after or None,
            )

    async def _fail_late(self, options: Options, deadline: float) -> None:
        if options.fail == "hang":
            await self._pause(math.inf, self._timeouts.between_tokens, deadline)
        if options.fail == "garbage":
            raise ProviderError("transport", "simulated failure: unreadable answer", provider=self.name)
        if options.fail == "die":
            raise ProviderError("transport", "simulated failure: the stream ended early", provider=self.name)

    async def _pause(self, seconds: float, limit: float, deadline: float) -> None:
        """Wait, but no longer than the limit and the deadline: beyond them, a timeout."""
        if seconds <= 0:
            return
        allowed = min(limit, deadline - self._clock())
        if seconds > allowed:
            await self._sleep(max(allowed, 0.0))
            raise ProviderError("timeout", "simulated provider took too long", provider=self.name)
        await self._sleep(seconds)


def _breaks_at(options: Options) -> float:
    if options.fail not in ("hang", "garbage", "die"):
        return math.inf
    return options.after if options.after >= 0 else 3


def _options(values: dict[str, Any]) -> Options:
    unknown = sorted(set(values) - set(Options.__struct_fields__))
    if unknown:
        raise ValueError(f"unknown {unknown[0]!r}; known: {', '.join(Options.__struct_fields__)}")
    parsed: dict[str, Any] = {}
    for key, value in values.items():
        if key == "fail":
            if value and value not in FAILURES:
                raise ValueError(f"fail is {value!r}; use one of {', '.join(FAILURES)}")
            parsed[key] = value
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{key} is {value!r}; write a number") from None
        if not math.isfinite(number) or number > 1_000_000 or (number < 0 and key != "after"):
            raise ValueError(f"{key} is {value!r}; write a number from 0 to 1000000")
        parsed[key] = int(number) if key in ("tokens", "after") else number
    options = Options(**parsed)
    return PLAIN if options == PLAIN else options


def _as_dict(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in Options.__struct_fields__}


def _tokens(part: Any) -> int:
    if type(part) is ToolCall:
        return len(part.arguments.split()) + 1
    return len(TOKEN.findall(part.text))


def _events(parts: tuple[Any, ...]) -> list[StreamEvent]:
    events: list[StreamEvent] = []
    calls = 0
    for part in parts:
        if type(part) is ToolCall:
            events.append(ToolCallStart(calls, part.id, part.name))
            half = len(part.arguments) // 2
            events.append(ToolCallDelta(calls, part.arguments[:half]))
            events.append(ToolCallDelta(calls, part.arguments[half:]))
            calls += 1
        else:
            events.extend([TextDelta(token) for token in TOKEN.findall(part.text)])
    return events


def _id(request: CanonicalRequest) -> str:
    last = request.messages[-1].parts if request.messages else ()
    text = last[0].text if last and type(last[0]) is Text else ""
    return f"sim-{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


PLAIN: Final = Options()
