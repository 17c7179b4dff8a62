"""Open a connection: directly or through a CONNECT proxy, with TLS verified."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final

from service.upstream.connection import Connection
from service.upstream.errors import UpstreamError
from service.upstream.origin import Origin, UnsafeAddress, check_address

TUNNEL_HEAD_LIMIT: Final = 16 * 1024


@functools.cache  # reading the system's CAs takes 10 ms and more, once for all providers
def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """Verifies certificate and host name; TLS 1.2 or newer; `ca_file` replaces the system's CAs."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


async def connect(
    factory: Callable[[], Connection],
    origin: Origin,
    tls: ssl.SSLContext | None,
    proxy: Origin | None,
    allow_private: bool,
) -> Connection:
    """A connection that is ready for a request. Raises `UpstreamError`; the caller bounds the time."""
    loop = asyncio.get_running_loop()
    name = origin.host if tls else None
    try:
        if proxy is not None:
            sock = await _tunnel(proxy, origin)
            _, connection = await loop.create_connection(factory, sock=sock, ssl=tls, server_hostname=name)
            return connection
        transport, connection = await loop.create_connection(
            factory, origin.host, origin.port, ssl=tls, server_hostname=name
        )
    except ssl.SSLCertVerificationError as error:
        raise UpstreamError("connect", f"TLS: {error.verify_message}", untouched=True) from None
    except ssl.SSLError as error:
        raise UpstreamError("connect", f"TLS: {error.reason or 'handshake failed'}", untouched=True) from None
    except OSError as error:
        # asyncio puts the address into `strerror`; the errno tells what happened.
        code = error.errno or 0
        reason = os.strerror(code) if code > 0 else error.strerror or type(error).__name__
        raise UpstreamError("connect", f"{origin.host}:{origin.port}: {reason}", untouched=True) from None
    # The name was checked when it was configured; what it resolves to is only known now.
    peer = transport.get_extra_info("peername")
    try:
        check_address(peer[0], allow_private=allow_private)
    except UnsafeAddress as error:
        connection.abort()
        raise UpstreamError("connect", str(error), untouched=True) from None
    return connection


async def _tunnel(proxy: Origin, origin: Origin) -> socket.socket:
    """A socket through the proxy to the origin (RFC 9110, 9.3.6)."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}"
        await loop.sock_sendall(sock, f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:  # a refusal has a body; from an origin nothing comes before we speak
            data = await loop.sock_recv(sock, 4096)
            head += data
            if not data or len(head) > TUNNEL_HEAD_LIMIT:
                raise UpstreamError("connect", "the proxy did not answer", untouched=True)
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            shown = status[0][:3].decode("latin-1") if status else "nothing"
            raise UpstreamError("connect", f"the proxy answered {shown}", untouched=True)
    except BaseException:
        sock.close()
        raise
    return sock
