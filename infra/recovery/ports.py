"""Loopback ports for servers that live as long as one command."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that is free now; the caller binds it at once."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
