"""Many requests from few connections, cheaply: the breaking of a system must not be bound by its client."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

Address = tuple[str, int]


def completion(text: str, model: str = "both", **more: Any) -> dict[str, Any]:
    """The body of a completion that a cache may answer, once somebody asked the same."""
    return {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def pour(
    address: Address,
    key: str,
    bodies: Iterable[dict[str, Any]],
    path: str = "/v1/chat/completions",
    *,
    connections: int = 16,
    source: str = "127.0.0.1",
) -> Counter[int]:
    """POST every body, each once; how many answers had which status (0: none came)."""
    waiting = iter([json.dumps(body).encode() for body in bodies])
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address[0]}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
    found: Counter[int] = Counter()

    async def one() -> None:
        reader = writer = None
        for body in waiting:
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
                writer.write(head + b"%d\r\n\r\n" % len(body) + body)
                assert reader is not None
                found[await asyncio.wait_for(_answer(reader), 60)] += 1
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                found[0] += 1
                if writer is not None:
                    writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*[one() for _ in range(connections)])

    asyncio.run(all_of_them())
    return found


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"\ncontent-length:")[2].partition(b"\r")[0]
    if length:
        await reader.readexactly(int(length))
    else:  # chunked: the chunks end with an empty one
        await reader.readuntil(b"\r\n0\r\n\r\n")
    return int(head.split(b" ", 2)[1])
