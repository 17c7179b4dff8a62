"""Commands that leave with every request, as bytes of Redis' protocol (RESP, arrays of bulk strings:
https://redis.io/docs/latest/develop/reference/protocol-spec/). Written by hand: a third of what the general
`redis_link.pack` takes for them.
"""

from __future__ import annotations


def get(key: str) -> bytes:
    """GET key."""
    name = key.encode()
    return b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name)


def set_for(key: str, data: bytes, seconds: int) -> bytes:
    """SET key data EX seconds."""
    name, life = key.encode(), b"%d" % seconds
    head = b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$2\r\nEX\r\n$%d\r\n%b\r\n"
    return head % (len(name), name, len(data), data, len(life), life)


def evalsha(sha: str, key: str, number: int) -> bytes:
    """EVALSHA sha 1 key number."""
    name, value = key.encode(), b"%d" % number
    head = b"*5\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
    return head % (sha.encode(), len(name), name, len(value), value)


def bulk(number: int) -> bytes:
    """One number as the argument of a command."""
    text = b"%d" % number
    return b"$%d\r\n%b\r\n" % (len(text), text)
