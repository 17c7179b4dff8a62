"""One HTTP request, timed from the first byte to the last; the standard library is enough for probes."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect, and under which name the certificate is checked."""

    host: str
    port: int
    tls: bool = False
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; times in seconds since the request was sent."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    first_byte: float
    total: float
    reads: int
    """Times that body data arrived: more than one for a stream that is not buffered on its way."""


class NoAnswer(Exception):
    """The connection failed, broke off, or took longer than the limit; the message says which."""


def send(
    address: Address, method: str, path: str, headers: Mapping[str, str], body: bytes, limit: float
) -> Answer:
    """Do one request within `limit` seconds. Raises `NoAnswer`."""
    started = time.monotonic()
    connection = http.client.HTTPConnection(address.host, address.port, timeout=limit)
    try:
        connection.sock = _socket(address, limit)
        connection.request(method, path, body or None, dict(headers))
        answer = connection.getresponse()
        first = time.monotonic() - started
        chunks: list[bytes] = []
        while chunk := answer.read1(65_536):
            chunks.append(chunk)
            if time.monotonic() - started > limit:
                raise NoAnswer(f"no complete answer within {limit:g} s")
        if answer.length:
            raise NoAnswer(f"the answer broke off, {answer.length} bytes are missing")
        names = {name.lower(): value for name, value in answer.getheaders()}
        total = time.monotonic() - started
        return Answer(answer.status, names, b"".join(chunks), first, total, len(chunks))
    except TimeoutError:
        raise NoAnswer(f"no answer within {limit:g} s") from None
    except (OSError, http.client.HTTPException) as failed:
        raise NoAnswer(f"{type(failed).__name__}: {failed}") from None
    finally:
        connection.close()


def _socket(address: Address, limit: float) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout=limit)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not address.tls:
        return plain
    context = ssl.create_default_context()
    return context.wrap_socket(plain, server_hostname=address.server_name or address.host)
