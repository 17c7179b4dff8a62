"""`/v1/sessions`: conversations whose context is kept here, cut to what the model can read."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from service.api import openai_answer
from service.api.call import Call, route_headers
from service.api.endpoint import Door, answer, body, path_parameter
from service.api.errors import ApiError
from service.api.exchange import JSON, Exchange
from service.api.openai_request import Count, StreamOptions
from service.api.pipeline import Pipeline
from service.api.streaming import stream
from service.auth.permissions import Principal
from service.cache.exact import Collector
from service.providers.base import CanonicalRequest, Message, StreamEnd, StreamEvent, Text
from service.providers.catalog import find
from service.providers.tokens import TOKENS_PER_MESSAGE, estimate_text
from service.storage.conversations import Conflict, Conversation, Conversations

DEFAULT_CONTEXT: Final = 8192  # tokens, for models that the catalog does not know
DEFAULT_ANSWER: Final = 1024


class NewSession(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/sessions`; the session ends `ttl_seconds` after its last turn."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    system: Annotated[str, Meta(max_length=100_000)] = ""
    ttl_seconds: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400


class Turn(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/sessions/{id}/messages`."""

    content: Annotated[str, Meta(min_length=1, max_length=1_000_000)]
    max_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


NEW: Final = msgspec.json.Decoder(NewSession)
TURN: Final = msgspec.json.Decoder(Turn)


class Sessions:
    """Needs the permission `chat`; a session belongs to the account that made it."""

    def __init__(self, door: Door, pipeline: Pipeline, store: Conversations, *, max_body: int) -> None:
        self._door = door
        self._pipeline = pipeline
        self._store = store
        self._max_body = max_body

    async def create(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, "chat")
        wanted = await body(exchange, NEW, self._max_body)
        made = await self._store.create(principal.account, wanted.model, wanted.system, wanted.ttl_seconds)
        await answer(exchange, _describe(made), 201)

    async def get(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, "chat")
        await answer(exchange, _describe(await self._load(exchange, principal)))

    async def delete(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, "chat")
        identity = path_parameter(exchange, "id")
        if not await self._store.delete(principal.account, identity):
            raise _unknown()
        await answer(exchange, {"id": identity, "deleted": True})

    async def turn(self, exchange: Exchange) -> None:
        """One message in, one answer out; both are kept when the answer is whole, and only then."""
        principal = await self._door.admit(exchange, "chat")
        wanted = await body(exchange, TURN, self._max_body)
        account = principal.account
        try:
            session = await self._begin(account, path_parameter(exchange, "id"))
        except ApiError:
            await self._door.count(exchange, principal)
            raise
        try:
            try:
                messages = fitting(session, wanted)
            except ApiError:
                await self._door.count(exchange, principal)
                raise
            request = CanonicalRequest(
                model=session.model,
                messages=(*_system(session), *messages),
                max_tokens=wanted.max_tokens,
                temperature=wanted.temperature,
            )
            call = await self._pipeline.begin(exchange, principal, request, bool(wanted.stream))
            session.messages = messages
            if wanted.stream:
                await self._stream(call, session, wanted.stream_options)
            else:
                await self._whole(call, session)
        finally:
            self._store.end_turn(account, session)

    async def _begin(self, account: str, identity: str) -> Conversation:
        try:
            session = await self._store.begin_turn(account, identity)
        except Conflict:
            raise ApiError(
                409, "A message of this session is being answered; send yours after it.", retry_after=1
            ) from None
        if session is None:
            raise _unknown()
        return session

    async def _whole(self, call: Call, session: Conversation) -> None:
        exchange = call.exchange
        response = await self._pipeline.complete(call)
        await self._save(call, session, response.text)
        identity = "chatcmpl-" + exchange.request_id[4:]
        rendered = openai_answer.render(response, identity, int(time.time()))
        self._pipeline.end(call, "ok")
        await exchange.respond(200, [JSON, *route_headers(call)], rendered)

    async def _stream(self, call: Call, session: Conversation, options: StreamOptions | None) -> None:
        identity = "chatcmpl-" + call.exchange.request_id[4:]
        include_usage = options is not None and options.include_usage

        def renderer() -> openai_answer.StreamRenderer:
            model = call.ctx.model or call.request.model
            return openai_answer.StreamRenderer(
                identity, int(time.time()), model, include_usage=include_usage
            )

        await stream(self._pipeline, call, self._kept(call, session), renderer, openai_answer.DONE)

    async def _kept(self, call: Call, session: Conversation) -> AsyncGenerator[StreamEvent, None]:
        """The stream; whoever sees its end can rely on it being kept."""
        events, collector = self._pipeline.stream(call), Collector()
        try:
            async for event in events:
                if type(event) is StreamEnd:
                    await self._save(call, session, collector.whole(event).text)
                else:
                    collector.add(event)
                yield event
        finally:
            await events.aclose()

    async def _save(self, call: Call, session: Conversation, text: str) -> None:
        """An empty answer is kept no more than a broken one: no model wants to read it in the next turn."""
        if not text:
            return
        session.messages = [*session.messages, Message("assistant", (Text(text),))]
        try:
            await self._store.save(call.principal.account, session)
        except Conflict:
            self._pipeline.end(call, "ok")  # the provider did its work
            raise ApiError(409, "This session was changed or ended meanwhile; read it again.") from None
        except BaseException:
            self._pipeline.end(call, "ok")
            raise

    async def _load(self, exchange: Exchange, principal: Principal) -> Conversation:
        found = await self._store.load(principal.account, path_parameter(exchange, "id"))
        if found is None:
            raise _unknown()
        return found


def context_of(model: str) -> int:
    """Tokens that the model can read."""
    info = find(model.rpartition("/")[2])
    return info.context if info is not None and info.context is not None else DEFAULT_CONTEXT


def fitting(session: Conversation, wanted: Turn) -> list[Message]:
    """The newest messages that fit into the model's context with the system prompt, the new message and room
    for the answer, beginning with one of the user's. Counted in tokens, as all estimates here are.

    Raises `ApiError` 400 when not even the new message fits.
    """
    messages = [*session.messages, Message("user", (Text(wanted.content),))]
    context = context_of(session.model)
    left = context - (wanted.max_tokens or min(DEFAULT_ANSWER, context // 2))
    left -= sum([_tokens(one) for one in _system(session)])
    if left <= 0 and wanted.max_tokens is not None:
        what = f"The model reads {context:,} tokens: with this answer's there is no room for the message."
        raise ApiError(400, what, param="max_tokens")
    start = len(messages)
    for index in range(len(messages) - 1, -1, -1):
        left -= _tokens(messages[index])
        if left < 0:
            break
        start = index
    while start < len(messages) and messages[start].role != "user":
        start += 1
    if start == len(messages):
        raise ApiError(400, "The message is longer than the model's context.", param="content")
    return messages[start:]


def _system(session: Conversation) -> tuple[Message, ...]:
    return (Message("system", (Text(session.system),)),) if session.system else ()


def _tokens(message: Message) -> int:
    return TOKENS_PER_MESSAGE + sum(
        [estimate_text(part.text) for part in message.parts if isinstance(part, Text)]
    )


def _describe(session: Conversation) -> dict[str, Any]:
    return {
        "id": session.id,
        "object": "session",
        "model": session.model,
        "system": session.system,
        "created": int(session.created),
        "ttl_seconds": session.ttl,
        "messages": [
            {"role": one.role, "content": "".join([p.text for p in one.parts if isinstance(p, Text)])}
            for one in session.messages
        ],
    }


def _unknown() -> ApiError:
    return ApiError(404, "There is no such session; it may have ended.", param="id")
