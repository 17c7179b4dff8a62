"""The two things of AWS that are taken from botocore: signatures and event-stream frames.

Imported only where a Bedrock provider is configured: botocore takes 15 MB and a tenth of a second.
"""

from __future__ import annotations

from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.eventstream import EventStreamBuffer, ParserError
from botocore.session import get_session

from service.providers.sse import Event


class NoCredentials(Exception):
    """The usual chain (environment, profile, container, instance) gave none."""


class Signer:
    """Signature version 4 for `bedrock`, with credentials that renew themselves."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._credentials: Any = None

    @property
    def ready(self) -> bool:
        """Credentials are there and fresh: `sign` will not wait for anything."""
        credentials = self._credentials
        if credentials is None:
            return False
        needed = getattr(credentials, "refresh_needed", None)
        return needed is None or not needed()

    def load(self) -> None:
        """Find or renew credentials. May block on a metadata service: call it in a thread."""
        if self._credentials is None:
            self._credentials = get_session().get_credentials()
        if self._credentials is None:
            raise NoCredentials
        self._credentials.get_frozen_credentials()

    def sign(self, method: str, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """The headers to send: those given, the date, the token where there is one, the signature."""
        request = AWSRequest(method=method, url=url, data=body, headers=headers)
        frozen = self._credentials.get_frozen_credentials()
        SigV4Auth(frozen, "bedrock", self._region).add_auth(request)
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
