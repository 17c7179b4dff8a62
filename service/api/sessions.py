"""`/v1/sessions`: conversations whose context is kept here, cut to what the model can read."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from service.api import openai_answer
from service.api.call import Call, route_headers
from service.api.endpoint import Door, answer, body, path_parameter
from service.api.errors import ApiError
from service.api.exchange import JSON, Exchange
from service.api.openai_request import Count
from service.api.pipeline import Pipeline
from service.api.streaming import whole
from service.auth.permissions import Principal
from service.providers.base import CanonicalRequest, Message, Text
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
        """One message in, one answer out; both are kept when the answer is whole."""
        principal = await self._door.admit(exchange, "chat")
        wanted = await body(exchange, TURN, self._max_body)
        session = await self._load(exchange, principal)
        messages = [*session.messages, Message("user", (Text(wanted.content),))]
        room = context_of(session.model) - (wanted.max_tokens or DEFAULT_ANSWER)
        kept = fitting(session.system, messages, room)
        system = (Message("system", (Text(session.system),)),) if session.system else ()
        request = CanonicalRequest(
            model=session.model,
            messages=(*system, *kept),
            max_tokens=wanted.max_tokens,
            temperature=wanted.temperature,
        )
        call = await self._pipeline.begin(exchange, principal, request, False)
        response = await whole(self._pipeline, call)
        session.messages = [*kept, Message("assistant", (Text(response.text),))]
        await self._save(call, principal, session)
        identity = "chatcmpl-" + exchange.request_id[4:]
        rendered = openai_answer.render(response, identity, int(time.time()))
        self._pipeline.end(call, "ok")
        await exchange.respond(200, [JSON, *route_headers(call)], rendered)

    async def _save(self, call: Call, principal: Principal, session: Conversation) -> None:
        try:
            await self._store.save(principal.account, session)
        except Conflict:
            self._pipeline.end(call, "ok")  # the provider did its work
            raise ApiError(
                409, "Another message of this session was answered meanwhile; send yours again."
            ) from None
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


def fitting(system: str, messages: list[Message], room: int) -> list[Message]:
    """The newest messages that fit into `room` tokens with the system prompt, beginning with the user's.

    Raises `ApiError` 400 when not even the last one does.
    """
    left = room - (estimate_text(system) + TOKENS_PER_MESSAGE if system else 0)
    start = len(messages)
    for index in range(len(messages) - 1, -1, -1):
        left -= TOKENS_PER_MESSAGE + sum(
            [estimate_text(part.text) for part in messages[index].parts if isinstance(part, Text)]
        )
        if left < 0:
            break
        start = index
    while start < len(messages) and messages[start].role != "user":
        start += 1
    if start == len(messages):
        raise ApiError(400, "The message is longer than the model's context.", param="content")
    return messages[start:]


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
