"""Answers on their way out: whole ones and streams, booked exactly once however they end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeVar

from service.api.call import Call, outcome_of, route_headers
from service.api.errors import ApiError, body
from service.api.exchange import Exchange
from service.api.pipeline import Pipeline
from service.providers.base import CanonicalResponse

Event = TypeVar("Event", contravariant=True)
Sent = TypeVar("Sent")


class Renderer(Protocol[Event]):
    """Events of one stream in a wire format; made when the first event is there."""

    def first(self) -> bytes: ...

    def event(self, event: Event) -> bytes: ...


async def several(pipeline: Pipeline, call: Call) -> list[CanonicalResponse]:
    """As `Pipeline.complete`, for `call.choices` answers."""
    try:
        return await pipeline.choices.complete(call)
    except BaseException as error:
        pipeline.end(call, outcome_of(error))
        raise


async def stream(
    pipeline: Pipeline,
    call: Call,
    events: AsyncGenerator[Sent, None],
    make: Callable[[], Renderer[Sent]],
    done: bytes,
    cut: Callable[[ApiError, Exchange], bytes] | None = None,
) -> None:
    """Send a stream. Failures before the first event are still a proper error response; later ones end it
    with an error event and without `done`, so that nobody takes a broken stream for whole.
    """
    exchange = call.exchange
    trace = exchange.trace
    span = trace.recording.open("stream", {}) if trace is not None and trace.recording is not None else None
    try:
        first = await anext(events)
        renderer = make()
        await exchange.start_stream(route_headers(call))
        await exchange.write(renderer.first() + renderer.event(first))
        if span is not None:
            span.event("first_token")
        async for event in events:
            data = renderer.event(event)
            if data:
                await exchange.write(data)
    except Exception as error:
        await events.aclose()
        if exchange.status == 0:
            pipeline.end(call, outcome_of(error))
            raise
        pipeline.end(call, "cut")
        await exchange.finish((cut or broken)(exchange.describe_failure(error), exchange))
    except BaseException as error:
        await events.aclose()
        pipeline.end(call, outcome_of(error))
        raise
    else:
        pipeline.end(call, "ok")
        await exchange.finish(done)
    finally:
        if span is not None:
            span.close("" if call.outcome == "ok" else call.outcome)


def broken(error: ApiError, exchange: Exchange) -> bytes:
    """The error as OpenAI's client understands it in a stream."""
    return b"data: " + body(error, exchange.request_id) + b"\n\n"
