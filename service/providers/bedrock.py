"""AWS Bedrock's Converse API as a provider: signed by botocore, sent by our own client."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from typing import Any, Final
from urllib.parse import quote

import msgspec

from service.providers import bedrock_wire as wire
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
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)
from service.providers.bedrock_aws import FrameParser, Signer
from service.providers.config import ConfigError, ProviderConfig
from service.providers.http_client import USER_AGENT, HttpUpstream, kind_of_status, text_of

KIND_OF_EXCEPTION: Final[dict[str, ErrorKind]] = {
    "accessdeniedexception": "auth",
    "unrecognizedclientexception": "auth",
    "invalidsignatureexception": "auth",
    "expiredtokenexception": "auth",
    "missingauthenticationtokenexception": "auth",
    "throttlingexception": "rate_limited",
    "servicequotaexceededexception": "quota",
    "resourcenotfoundexception": "not_found",
    "modeltimeoutexception": "timeout",
    "internalserverexception": "internal",
    "modelerrorexception": "internal",
    "modelstreamerrorexception": "internal",
    "serviceunavailableexception": "overloaded",
    "modelnotreadyexception": "overloaded",
    "validationexception": "bad_request",
}
TOO_LONG: Final = ("input is too long", "prompt is too long", "maximum context", "context window")


def classify(status: int, headers: dict[bytes, bytes], body: bytes) -> ProviderError:
    """What an error answer means: the name stands in a header, the sentence in the body."""
    try:
        parsed: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        parsed = None
    fields = parsed if isinstance(parsed, dict) else {}
    name = headers.get(b"x-amzn-errortype", b"").decode("latin-1").partition(":")[0]
    message = text_of(fields.get("message")) or text_of(fields.get("Message"))
    return from_exception(name, message, status)


def from_exception(name: str, message: str, status: int) -> ProviderError:
    """From the name of an AWS exception."""
    kind = KIND_OF_EXCEPTION.get(name.lower()) or kind_of_status(status)
    if kind == "bad_request" and any(words in message.lower() for words in TOO_LONG):
        kind = "context_too_long"
    return ProviderError(kind, message or f"the provider answered HTTP {status}", status=status)


class Bedrock:
    """Implements `Provider`. With a key it is a Bedrock API key; without, the usual AWS credentials."""

    kind = "bedrock"

    def __init__(self, config: ProviderConfig) -> None:
        self.name = config.name
        self.models = config.models
        region = config.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
        if not region:
            raise ConfigError(
                f"providers.{config.name}.region: empty; write the AWS region, as in eu-west-1."
            )
        self._key = config.key()
        self._upstream = HttpUpstream(
            config, f"https://bedrock-runtime.{region}.amazonaws.com", classify, self._key
        )
        self._signer = None if self._key else Signer(region)

    async def complete(self, request: CanonicalRequest, deadline: float) -> CanonicalResponse:
        body = self._body(request)
        path = f"/model/{quote(request.model, safe='')}/converse"
        head = await self._head("POST", path, body, deadline)
        raw = await self._upstream.request(head, body, deadline)
        try:
            answer = wire.ANSWER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._upstream.unreadable() from None
        return CanonicalResponse(
            id="",
            model=request.model,
            parts=wire.parts(answer.output.message.content),
            finish=self._finish(answer.stop_reason),
            usage=answer.usage.usage(),
        )

    async def stream(self, request: CanonicalRequest, deadline: float) -> AsyncGenerator[StreamEvent, None]:
        body = self._body(request)
        path = f"/model/{quote(request.model, safe='')}/converse-stream"
        head = await self._head("POST", path, body, deadline)
        source = await self._upstream.stream(head, body, deadline, FrameParser())
        reason: str | None = None
        usage = None
        calls: dict[int, int] = {}
        bare: set[int] = set()  # blocks of calls whose arguments have not come
        whole = False
        try:
            while (batch := await source.batch()) is not None:
                for name, data in batch:
                    frame = self._frame(name, data)
                    if name == b"messageStart":
                        yield StreamStart("", request.model)
                    elif name == b"messageStop":
                        reason = frame.stop_reason
                    elif name == b"metadata":
                        usage = frame.usage
                    elif name == b"contentBlockStop":
                        if frame.content_block_index in bare:
                            yield ToolCallDelta(calls[frame.content_block_index], "{}")
                    else:
                        event = _event(frame, calls, bare)
                        if event is not None:
                            source.seen_token = True
                            yield event
            whole = True
        finally:
            source.close(whole=whole)
        if reason is None or usage is None:
            raise self._upstream.cut()
        yield StreamEnd(self._finish(reason), usage.usage())

    async def embed(self, request: EmbeddingRequest, deadline: float) -> EmbeddingResponse:
        raise ProviderError("not_found", "Converse has no embeddings", provider=self.name)

    async def check(self, deadline: float) -> None:
        """Credentials can be had and the endpoint answers; the runtime has no call that costs nothing."""
        head = await self._head("GET", "/", b"", deadline)
        response = await self._upstream.exchange(head, b"", deadline)
        if response.status >= 500:
            raise self._upstream.refused(response.status, response.headers, response.body)

    async def close(self) -> None:
        await self._upstream.close()

    def _body(self, request: CanonicalRequest) -> bytes:
        try:
            return msgspec.json.encode(wire.render(request))
        except ProviderError as error:
            raise self._upstream.tell(error) from None

    async def _head(self, method: str, path: str, body: bytes, deadline: float) -> bytes:
        headers = {"content-type": "application/json"}
        if self._signer is None:
            headers["authorization"] = f"Bearer {self._key}"
        else:
            origin = self._upstream.client.origin
            url = f"{'https' if origin.tls else 'http'}://{origin.authority}{origin.prefix}{path}"
            due = min(deadline, time.monotonic() + self._upstream.timeouts.connect)
            try:
                async with asyncio.timeout_at(due):
                    await self._signer.prepare()
                headers = self._signer.sign(method, url, headers, body)
            except TimeoutError:
                message = "AWS credentials did not come in time"
                raise ProviderError("transport", message, provider=self.name) from None
            except Exception as error:
                message = f"no AWS credentials ({type(error).__name__})"
                raise ProviderError("auth", message, provider=self.name) from None
        headers["user-agent"] = USER_AGENT
        return self._upstream.client.head(method, path, headers)

    def _frame(self, name: bytes, data: bytes) -> wire.WireFrame:
        try:
            frame = wire.FRAME.decode(data or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._upstream.unreadable() from None
        if name.lower().endswith(b"exception"):
            raise self._upstream.tell(from_exception(name.decode("latin-1"), frame.message, 500))
        return frame

    def _finish(self, reason: str) -> FinishReason:
        if reason.startswith("malformed"):
            raise self._upstream.tell(ProviderError("internal", f"the model broke off: {reason}"))
        return wire.FINISH.get(reason, "stop")


def _event(frame: wire.WireFrame, calls: dict[int, int], bare: set[int]) -> StreamEvent | None:
    """One event of ours from a block's start or delta; `calls` maps their block to our tool call, `bare` has
    those without arguments.
    """
    index = frame.content_block_index
    if frame.start is not None and frame.start.tool_use is not None:
        calls[index] = len(calls)
        bare.add(index)
        return ToolCallStart(calls[index], frame.start.tool_use.tool_use_id, frame.start.tool_use.name)
    delta = frame.delta
    if delta is None:
        return None
    if delta.text is not None:
        return TextDelta(delta.text)
    if delta.tool_use is not None and delta.tool_use.input and index in calls:
        bare.discard(index)
        return ToolCallDelta(calls[index], str(delta.tool_use.input))
    reasoning = delta.reasoning_content
    if reasoning is not None:
        return ThinkingDelta(reasoning.text, reasoning.signature, reasoning.redacted_content)
    return None
