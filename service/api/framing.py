"""Answers as bytes of HTTP/1.1 (RFC 9112). Pure functions; `lines` are whole header lines."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from service.api import errors
from service.api.errors import ApiError
from service.api.exchange import Exchange, Headers, header_lines

STATUS_LINE: Final = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}
CLOSING: Final = b"connection: close\r\n"
CHUNKED: Final = b"transfer-encoding: chunked\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
# Fields whose lines are one list (RFC 9110, 5.3); of all others the last line counts. A second `traceparent`
# makes both invalid that way, as it must.
LISTS: Final = frozenset({b"traceparent", b"tracestate", b"x-forwarded-for"})


_DATED: Final[dict[str, tuple[Headers, bytes]]] = {}


def dated(server: Any) -> bytes:
    """uvicorn's own headers (the date), rendered when they change: once a second for all connections."""
    current: Headers = server.default_headers
    known = _DATED.get("lines")
    if known is None or known[0] is not current:
        known = _DATED["lines"] = (current, header_lines(current))
    return known[1]


def status_line(status: int) -> bytes:
    return STATUS_LINE.get(status) or b"HTTP/1.1 %d \r\n" % status


def whole(exchange: Exchange, status: int, dated: bytes, lines: bytes, body: bytes) -> bytes:
    """An answer in one piece."""
    length = b"content-length: %d\r\n" % len(body)
    end = b"\r\n" if exchange.keep_alive else CLOSING + b"\r\n"
    if exchange.method == "HEAD":
        body = b""
    return b"".join((STATUS_LINE.get(status) or status_line(status), length, dated, lines, end, body))


def opening(exchange: Exchange, status: int, lines: bytes) -> bytes:
    """The head of an answer that comes in pieces."""
    return b"%b%b%b%b\r\n" % (
        status_line(status),
        CHUNKED if exchange.chunked else b"",
        lines,
        b"" if exchange.keep_alive else CLOSING,
    )


def piece(exchange: Exchange, data: bytes, last: bool) -> bytes:
    """The next bytes of the body, and its end."""
    if exchange.method == "HEAD":
        return b""
    if not exchange.chunked:
        return data
    framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return framed + b"0\r\n\r\n" if last else framed


def refusal(status: int, message: str) -> bytes:
    """What is no request yet has no request id either."""
    body = errors.body(ApiError(status, message), "")
    return b"%bcontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
        status_line(status),
        CLOSING,
        len(body),
        body,
    )
