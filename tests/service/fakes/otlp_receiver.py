"""An OTLP/HTTP receiver that refuses what the protocol forbids, built on the official messages.

The rules are those of https://opentelemetry.io/docs/specs/otlp/ and of the comments in `trace.proto`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.service.fakes.serving import FakeUpstream, Refused, Send, respond

PROTOBUF = "application/x-protobuf"


class Received:
    """One span as a test looks at it."""

    def __init__(self, span: Span, resource: dict[str, Any]) -> None:
        self.span = span
        self.resource = resource
        self.trace_id = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.name = span.name
        self.kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
        self.failed = span.status.code == 2
        self.attributes = {one.key: plain(one.value) for one in span.attributes}
        self.events = {one.name: {a.key: plain(a.value) for a in one.attributes} for one in span.events}
        self.start, self.end = span.start_time_unix_nano, span.end_time_unix_nano


class OtlpReceiver(FakeUpstream):
    """Keeps spans of good requests. `slow` delays each answer by so many seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Received] = []
        self.raw: list[bytes] = []
        self.slow = 0.0
        self.reject = 0

    def of(self, trace_id: str) -> list[Received]:
        return [span for span in list(self.spans) if span.trace_id == trace_id]

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        if (method, path, headers.get("content-type")) != ("POST", "/v1/traces", PROTOBUF):
            raise Refused(400, {"message": f"{method} {path} {headers.get('content-type')}"})
        if self.slow:
            await asyncio.sleep(self.slow)
        request = ExportTraceServiceRequest.FromString(body)
        received = []
        for group in request.resource_spans:
            resource = {one.key: plain(one.value) for one in group.resource.attributes}
            if not resource.get("service.name"):
                raise Refused(400, {"message": "no service.name"})
            for scope in group.scope_spans:
                received += [Received(span, resource) for span in scope.spans]
        wrong = [why for span in received if (why := problem(span, received))]
        if wrong or not received:
            raise Refused(400, {"message": "; ".join(wrong) or "empty"})
        self.raw.append(body)
        self.spans += received
        answer = ExportTraceServiceResponse()
        if self.reject:
            answer.partial_success.rejected_spans = self.reject
            answer.partial_success.error_message = "too old"
        await respond(send, 200, answer.SerializeToString(), content_type=PROTOBUF)


def problem(one: Received, together: list[Received]) -> str:
    """What is wrong with a span; "" for nothing."""
    span = one.span
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return f"{one.name}: trace id {span.trace_id.hex()}"
    if len(span.span_id) != 8 or not any(span.span_id):
        return f"{one.name}: span id {span.span_id.hex()}"
    if len(span.parent_span_id) not in (0, 8) or span.parent_span_id == span.span_id:
        return f"{one.name}: parent {one.parent}"
    if not one.name or span.kind == 0 or not span.start_time_unix_nano <= span.end_time_unix_nano:
        return f"{one.name}: name, kind or times"
    if len(one.attributes) != len(span.attributes):
        return f"{one.name}: an attribute stands there twice"
    remote = bool(span.flags & 0x200)
    siblings = {other.id for other in together if other.trace_id == one.trace_id}
    if one.parent and not remote and one.parent not in siblings:
        return f"{one.name}: its parent is nowhere"
    if [other.id for other in together].count(one.id) != 1:
        return f"{one.name}: its id is taken"
    return ""


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
