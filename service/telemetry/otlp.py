"""Recordings as OTLP's protobuf messages (https://opentelemetry.io/docs/specs/otlp/).

Imported only when traces are exported: the generated messages cost 5 MB.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from service.telemetry.traces import Attributes, Recording, Span

SCOPE: Final = "superagent"
SAMPLED: Final = 0x1
KNOWN_ORIGIN: Final = 0x100  # the next bit says whether the parent is in another process
REMOTE: Final = 0x200


class Batch:
    """One export request, filled one recording at a time so that the loop may run between them."""

    def __init__(self, resource: Attributes) -> None:
        self._request = ExportTraceServiceRequest()
        group = self._request.resource_spans.add()
        group.resource.attributes.extend(_pairs(resource))
        scope = group.scope_spans.add()
        scope.scope.name = SCOPE
        self._spans = scope.spans

    def add(self, recording: Recording) -> None:
        trace_id = bytes.fromhex(recording.trace_id)
        root = recording.root
        for span in recording.spans:
            message = self._spans.add()
            _fill(message, span, recording.wall, span.end or root.end)
            message.trace_id = trace_id
            remote = span is root and recording.remote
            message.flags = SAMPLED | KNOWN_ORIGIN | (REMOTE if remote else 0)

    def encoded(self) -> bytes:
        data: bytes = self._request.SerializeToString()
        return data


def _fill(message: Any, span: Span, wall: int, end: float) -> None:
    message.span_id = bytes.fromhex(span.id)
    message.parent_span_id = bytes.fromhex(span.parent)
    message.name = span.name
    message.kind = span.kind
    message.start_time_unix_nano = wall + int(span.start * 1e9)
    message.end_time_unix_nano = wall + int(max(end, span.start) * 1e9)
    message.attributes.extend(_pairs(span.attributes))
    for at, name, attributes in span.events:
        event = message.events.add()
        event.time_unix_nano = wall + int(at * 1e9)
        event.name = name
        event.attributes.extend(_pairs(attributes))
    if span.error:
        message.status.code = trace_pb2.Status.STATUS_CODE_ERROR


def _pairs(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items() if value is not None]


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))
    return AnyValue(string_value=str(value))


def rejected(body: bytes) -> int:
    """How many spans of a request the receiver did not take; 0 when its answer cannot be read."""
    try:
        answer = ExportTraceServiceResponse.FromString(body)
    except Exception:  # protobuf's DecodeError differs between its implementations
        return 0
    return int(answer.partial_success.rejected_spans)
