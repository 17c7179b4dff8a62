"""Calls of functions that take nothing: clients parse their arguments, and "" is no JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import msgspec
import pytest

from service.providers.anthropic import Anthropic
from service.providers.base import CanonicalRequest, StreamEvent, ToolCallDelta, ToolCallStart
from service.providers.bedrock import Bedrock
from service.providers.config import ProviderConfig
from service.providers.openai_compatible import OpenAICompatible
from tests.service.fakes.bedrock_api import frame
from tests.service.upstream.wire import RawServer, raw_server

Ask = Callable[..., CanonicalRequest]
HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


def events(*said: dict[str, object]) -> bytes:
    return b"".join([b"data: " + msgspec.json.encode(one) + b"\n\n" for one in said])


def anthropic(begun_with: dict[str, object], *pieces: str) -> bytes:
    block = {"type": "tool_use", "id": "t", "name": "now", "input": begun_with}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return events(
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *[{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    )


def openai(*pieces: str) -> bytes:
    begun = {"index": 0, "id": "t", "function": {"name": "now", "arguments": ""}}
    calls = [begun, *[{"index": 0, "function": {"arguments": piece}} for piece in pieces]]
    chunks = [{"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]} for call in calls]
    return events(*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})


def bedrock(*pieces: str) -> bytes:
    begun = {"start": {"toolUse": {"toolUseId": "t", "name": "now"}}, "contentBlockIndex": 0}
    deltas = [{"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": 0} for piece in pieces]
    said: list[tuple[str, dict[str, object]]] = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockStart", begun),
        *[("contentBlockDelta", delta) for delta in deltas],
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}),
    ]
    return b"".join([frame(name, body) for name, body in said])


@pytest.mark.parametrize(
    ("kind", "body", "arguments"),
    [
        ("anthropic", anthropic({}, ""), "{}"),
        ("anthropic", anthropic({}), "{}"),
        ("anthropic", anthropic({"a": 1}), '{"a":1}'),
        ("anthropic", anthropic({}, "", '{"b":', "2}"), '{"b":2}'),
        ("openai", openai(), "{}"),
        ("openai", openai("{", "}"), "{}"),
        ("bedrock", bedrock(), "{}"),
        ("bedrock", bedrock(""), "{}"),
        ("bedrock", bedrock('{"b":', "2}"), '{"b":2}'),
    ],
)
async def test_a_call_without_arguments_streams_an_empty_object(
    kind: str, body: bytes, arguments: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(HEAD + body)

    monkeypatch.setenv("A_KEY", "sk-test")
    async with raw_server(talk) as server:
        provider = {"anthropic": Anthropic, "openai": OpenAICompatible, "bedrock": Bedrock}[kind](
            ProviderConfig(
                name="p",
                kind=kind,  # type: ignore[arg-type]
                base_url=f"http://127.0.0.1:{server.port}",
                region="eu-west-1",
                key_env="A_KEY",
                allow_private=True,
            )
        )
        stream: AsyncGenerator[StreamEvent, None] = provider.stream(ask(), time.monotonic() + 10)
        seen = [event async for event in stream]
        await provider.close()
    assert [event for event in seen if isinstance(event, ToolCallStart)] == [ToolCallStart(0, "t", "now")]
    assert "".join([event.arguments for event in seen if isinstance(event, ToolCallDelta)]) == arguments
