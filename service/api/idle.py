"""Connections whose clients do nothing: neither ask nor read what they asked for; and how one is closed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
import time
from typing import Final, Protocol

LINGER_SECONDS: Final = 2.0


class Connection(Protocol):
    """`due` and `unread_due` as in `ApiProtocol`; `unread` are the bytes that waited at the last look."""

    transport: asyncio.Transport
    due: float
    unread: int
    unread_due: float
    unread_seconds: float

    def silent(self) -> None: ...


def sweep(connection: Connection, now: float) -> None:
    """End it when its time is over. Who has read something of its answer meanwhile gets as long again."""
    if 0.0 < connection.unread_due < now:
        left = unread(connection.transport)
        if left >= connection.unread:
            connection.transport.abort()  # it would hold its provider's stream for ever
        else:
            connection.unread, connection.unread_due = left, now + connection.unread_seconds
    elif 0.0 < connection.due < now:
        connection.silent()


def unread(transport: asyncio.Transport) -> int:
    """Bytes that the client has not taken, here and in the socket (tcp(7), SIOCOUTQ): the kernel asks for
    more only when a third of its megabytes is gone, which takes a slow client minutes.
    """
    queued, socket = b"\0\0\0\0", transport.get_extra_info("socket")
    with contextlib.suppress(OSError, ValueError):
        if socket is not None:  # else it was closed meanwhile
            queued = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, queued)
    return transport.get_write_buffer_size() + int(struct.unpack("i", queued)[0])


def close(transport: asyncio.Transport, still_sending: bool) -> float:
    """Close it, and return when it is to be closed for good (monotonic seconds), 0 when it is. Who is still
    sending gets the time to read its answer: a socket that is closed with bytes unread is reset, which takes
    the answer away from its client (RFC 9112, 9.6).
    """
    if still_sending and not transport.is_closing() and transport.can_write_eof():
        transport.write_eof()
        return time.monotonic() + LINGER_SECONDS
    transport.close()
    return 0.0
