"""`POST /chat` gives a message to the surest agent, or to a model; `GET /v1/agents` lists the agents."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from service.agents.base import AgentFailed, AgentRefused
from service.agents.registry import Registry
from service.api.call import Call, route_headers
from service.api.endpoint import Door, answer, body
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.api.openai_request import Count
from service.api.pipeline import Pipeline
from service.providers.base import CanonicalRequest, Message, Text

PROVIDER: Final = "agent"
"""What the ledger names as provider when an agent answered."""


class ChatMessage(Struct, forbid_unknown_fields=True):
    """Body of `POST /chat`. `agent` asks for one by name; `model` answers when no agent is sure."""

    message: Annotated[str, Meta(min_length=1, max_length=1_000_000)]
    agent: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    max_tokens: Count | None = None


DECODER: Final = msgspec.json.Decoder(ChatMessage)


class Agents:
    """Needs the permission `chat`, for the list `read` or `chat`."""

    def __init__(
        self, door: Door, pipeline: Pipeline, registry: Registry, *, default_model: str, max_body: int
    ) -> None:
        self._door = door
        self._pipeline = pipeline
        self._registry = registry
        self._default_model = default_model
        self._max_body = max_body

    async def list(self, exchange: Exchange) -> None:
        await self._door.enter(exchange, "chat")
        await answer(exchange, {"object": "list", "data": self._registry.describe()})

    async def chat(self, exchange: Exchange) -> None:
        principal = await self._door.admit(exchange, "chat")
        asked = await body(exchange, DECODER, self._max_body)
        model = asked.model or self._default_model
        try:
            name, confidence = self._choose(asked)
            if not name and not model:
                raise ApiError(400, "No agent is sure of this message: name the model to ask.", param="model")
        except ApiError:  # an agent has looked at it
            await self._door.count(exchange, principal)
            raise
        request = CanonicalRequest(
            model=f"{PROVIDER}/{name}" if name else model,
            messages=(Message("user", (Text(asked.message),)),),
            max_tokens=1 if name else asked.max_tokens,  # what the token limit reserves
        )
        call = await self._pipeline.begin(exchange, principal, request, False, cacheable=not name)
        if name:
            await self._by_agent(call, name, confidence, asked.message)
        else:
            await self._by_model(call)

    def _choose(self, asked: ChatMessage) -> tuple[str, float]:
        """The agent's name and confidence; an empty name leaves it to a model."""
        if asked.agent is None:
            return self._registry.best(asked.message) or ("", 0.0)
        if asked.agent not in self._registry.names():
            known = ", ".join(self._registry.names()) or "none"
            raise ApiError(400, f"There is no such agent; these are: {known}.", param="agent")
        return asked.agent, 1.0

    async def _by_agent(self, call: Call, name: str, confidence: float, message: str) -> None:
        call.ctx.provider, call.ctx.model = PROVIDER, name
        try:
            reply = await self._registry.process(name, message)
        except AgentRefused as error:
            self._pipeline.end(call, "bad_request")
            raise ApiError(400, str(error), param="message") from None
        except AgentFailed as error:
            self._pipeline.end(call, "internal")
            raise ApiError(502, str(error)) from None
        except BaseException:
            self._pipeline.end(call, "cancelled")
            raise
        by = {"kind": "agent", "name": name, "confidence": round(confidence, 3)}
        rendered = _reply(call, by, reply.text, reply.report)
        self._pipeline.end(call, "ok")
        await answer(call.exchange, rendered)

    async def _by_model(self, call: Call) -> None:
        response = await self._pipeline.complete(call)
        by = {"kind": "model", "name": response.model, "provider": call.ctx.provider}
        rendered = _reply(call, by, response.text, None)
        rendered["usage"] = {
            "input_tokens": response.usage.input_tokens,
            "output_tokens": response.usage.output_tokens,
        }
        self._pipeline.end(call, "ok")
        call.exchange.response_headers += route_headers(call)
        await answer(call.exchange, rendered)


def _reply(call: Call, by: dict[str, Any], text: str, report: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": "chat-" + call.exchange.request_id[4:],
        "object": "chat.reply",
        "answered_by": by,
        "message": text,
        "report": report,
    }
