"""Valkey of the local system: limits, caches, sessions; appended to disk, behind a password."""

from __future__ import annotations

import socket

from infra.local import parts
from infra.local.credentials import value
from infra.local.layout import Layout, write
from infra.local.programs import Program


def program(place: Layout) -> Program:
    """The server; TERM makes it write and end."""
    command = (str(parts.required("valkey")), str(place.conf / "valkey.conf"))
    return Program(name="valkey", command=command, folder=place.data / "valkey")


def configure(place: Layout, port: int) -> None:
    """Write `conf/valkey.conf`, readable by this user alone: the password stands in it."""
    (place.data / "valkey").mkdir(exist_ok=True)
    write(place.conf / "valkey.conf", render(place, port), 0o600)


def render(place: Layout, port: int) -> str:
    """The server's configuration. The folder is the process's own, so that no path needs quoting.

    A process title would be written over its environment, by which `orphans.find` knows our processes.
    """
    return f"""bind 127.0.0.1
port {port}
protected-mode yes
set-proc-title no
requirepass {value(place, "redis_password")}
dir ./
appendonly yes
appendfsync everysec
save 300 1
maxmemory 256mb
maxmemory-policy allkeys-lru
"""


def ping(place: Layout, port: int, seconds: float = 1.0) -> str:
    """Empty when the server answers a PING with PONG, else what it said instead."""
    password = value(place, "redis_password")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
            sock.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (chunk := sock.recv(512)):
                answer += chunk
    except OSError as failed:
        return str(failed)
    return "" if b"+PONG" in answer else answer.decode(errors="replace").strip()
