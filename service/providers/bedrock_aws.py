"""The two things of AWS that are taken from botocore: signatures and event-stream frames.

Imported only where a Bedrock provider is configured: botocore takes 15 MB and a tenth of a second.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.eventstream import EventStreamBuffer, ParserError
from botocore.session import get_session

from service.providers.sse import Event

LEAST_SECONDS: Final = 60  # credentials that hold so long are good for a call
AGAIN_SECONDS: Final = 10.0  # between tries to renew what is still good


class NoCredentials(Exception):
    """The usual chain (environment, profile, container, instance) gave none."""


class Signer:
    """Signature version 4 for `bedrock`, with credentials that are renewed. Whoever gives them may not
    answer: they are asked in a thread, once for all callers, and nobody waits while the old ones are good.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._credentials: Any = None
        self._frozen: Any = None
        self._loading: asyncio.Task[None] | None = None
        self._tried = float("-inf")

    async def prepare(self) -> None:
        """Have credentials that `sign` can use. Raises what botocore does, or `NoCredentials`."""
        if self._hold(None):
            return
        good = self._hold(LEAST_SECONDS)
        if self._loading is None and not (good and time.monotonic() - self._tried < AGAIN_SECONDS):
            self._tried = time.monotonic()
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
            self._loading.add_done_callback(self._loaded)
        if not good and self._loading is not None:
            await asyncio.shield(self._loading)

    def _hold(self, seconds: int | None) -> bool:
        """Whether they are there and hold for so long; None: until they should be renewed."""
        if self._frozen is None:
            return False
        needed = getattr(self._credentials, "refresh_needed", None)
        return needed is None or not needed(seconds)

    def _load(self) -> None:
        """Find or renew them. May block on a metadata service."""
        if self._credentials is None:
            self._credentials = get_session().get_credentials()
        if self._credentials is None:
            raise NoCredentials
        self._frozen = self._credentials.get_frozen_credentials()

    def _loaded(self, task: asyncio.Task[None]) -> None:
        self._loading = None
        if not task.cancelled():
            task.exception()  # who waits is told; where nobody does, the old ones are good

    def sign(self, method: str, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """The headers to send: those given, the date, the token where there is one, the signature."""
        request = AWSRequest(method=method, url=url, data=body, headers=headers)
        SigV4Auth(self._frozen, "bedrock", self._region).add_auth(request)
        return {name.lower(): str(value) for name, value in request.headers.items()}


class FrameParser:
    """Event-stream frames as (event or exception name, payload); the checksums are botocore's business."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()

    def feed(self, chunk: bytes) -> list[Event]:
        """The events completed by this chunk. Raises `ValueError` for what is no event stream."""
        self._buffer.add_data(chunk)
        events: list[Event] = []
        try:
            for message in self._buffer:
                headers: dict[str, Any] = message.headers  # type: ignore[assignment]  # stubs say int
                name = headers.get(":event-type") or headers.get(":exception-type")
                if name is None:
                    name = str(headers.get(":error-code", "unknown")) + "Exception"
                events.append((str(name).encode(), message.payload))
        except (ParserError, KeyError, IndexError, UnicodeDecodeError) as error:
            raise ValueError(f"the event stream is damaged ({type(error).__name__})") from None
        return events
