"""What all adapters over HTTP share: calling, reading event streams, errors into the taxonomy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol

from service.providers.base import ErrorKind, ProviderError, Timeouts
from service.providers.config import ConfigError, ProviderConfig
from service.providers.sse import Event, SSEParser
from service.telemetry.traces import OUTGOING
from service.upstream.client import Client, StreamingResponse
from service.upstream.errors import UpstreamError, UpstreamErrorKind
from service.upstream.origin import Origin, parse_origin
from service.upstream.response import Response

USER_AGENT: Final = "superagent/0.1"
ERROR_BODY_LIMIT: Final = 64 * 1024
ANSWER_LIMIT: Final = 16 * 1024 * 1024  # far above any text: a provider gone mad must not fill the memory

# OpenAI and most others, Anthropic, AWS, DeepSeek
ID_HEADERS: Final = (b"x-request-id", b"request-id", b"x-amzn-requestid", b"x-ds-trace-id")
IDENTIFIER: Final = re.compile(rb"[\w.:/@+=-]{1,128}", re.ASCII)
SHORTEST_LEAK: Final = 4  # characters of a key's beginning: fewer are in every text

# status, lower-case headers, body -> what happened
Classify = Callable[[int, dict[bytes, bytes], bytes], ProviderError]

KIND_OF: Final[dict[UpstreamErrorKind, ErrorKind]] = {
    "connect": "transport",
    "pool": "overloaded",
    "timeout": "timeout",
    "closed": "transport",
    "protocol": "transport",
    "too_large": "transport",
}

# Where the body tells nothing better. 529 is Anthropic's "overloaded".
KIND_OF_STATUS: Final[dict[int, ErrorKind]] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    408: "timeout",
    413: "bad_request",
    429: "rate_limited",
    500: "internal",
    502: "overloaded",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}


def kind_of_status(status: int) -> ErrorKind:
    """The kind of error that an HTTP status means by itself."""
    if status in KIND_OF_STATUS:
        return KIND_OF_STATUS[status]
    if 400 <= status < 500:
        return "bad_request"
    return "internal" if status >= 500 else "transport"


def retry_after(headers: dict[bytes, bytes], now: Callable[[], float] = time.time) -> float | None:
    """Seconds told by `retry-after-ms` or `retry-after` (seconds or a date); None when not readable."""
    raw = headers.get(b"retry-after-ms")
    if raw is not None:
        seconds = _number(raw)
        if seconds is not None:
            return seconds / 1000
    raw = headers.get(b"retry-after")
    if raw is None:
        return None
    seconds = _number(raw)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(raw.decode("latin-1")).timestamp() - now())
    except (ValueError, TypeError, OverflowError):
        return None


def upstream_id(headers: dict[bytes, bytes]) -> str:
    """How the upstream names the request, "" when it does not say or says something odd."""
    for name in ID_HEADERS:
        found = headers.get(name)
        if found is not None and IDENTIFIER.fullmatch(found):
            return found.decode("ascii")
    return ""


def without(secret: str, text: str) -> str:
    """The text without the secret, also when the text was cut in the middle of it."""
    text = text.replace(secret, "***")
    bare = text.removesuffix("…")
    for length in range(min(len(secret) - 1, len(bare)), SHORTEST_LEAK - 1, -1):
        if bare.endswith(secret[:length]):
            return bare[:-length] + "***"
    return text


def _number(raw: bytes) -> float | None:
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if 0.0 <= value < 1e9 else None


class EventParser(Protocol):
    """Bytes cut anywhere in, whole events out; `ValueError` for what it cannot be."""

    def feed(self, chunk: bytes) -> list[Event]: ...


class HttpUpstream:
    """The connection pool of one provider and the way errors are told. `default_url` where none is set."""

    def __init__(self, config: ProviderConfig, default_url: str, classify: Classify, secret: str) -> None:
        self.name = config.name
        self.timeouts: Timeouts = config.timeouts
        self._classify = classify
        self._secret = secret
        self._sends_trace = config.send_traceparent
        try:
            self.client = Client(
                _origin(config, "base_url", config.base_url or default_url),
                connect_seconds=config.timeouts.connect,
                max_connections=config.max_connections,
                ca_file=config.ca_file,
                proxy=_origin(config, "proxy", config.proxy, proxy=True) if config.proxy else None,
                allow_private=config.allow_private,
            )
        except OSError as error:  # also what is no certificate
            where = f"providers.{config.name}.ca_file: {config.ca_file}"
            raise ConfigError(f"{where}: {error.strerror}.") from None

    async def request(self, head: bytes, body: bytes, deadline: float, most: int = ANSWER_LIMIT) -> bytes:
        """The body of a 2xx answer; 0 as `most` bytes: what the client takes. Raises `ProviderError`."""
        if self._sends_trace:
            head += OUTGOING.get()
        due = time.monotonic() + self.timeouts.total
        try:
            response = await self.client.request(head, body, due if due < deadline else deadline, most)
        except UpstreamError as error:
            raise self.broken(error) from None
        if not 200 <= response.status < 300:
            raise self.refused(response.status, response.headers, response.body)
        return response.body

    async def exchange(self, head: bytes, body: bytes, due: float) -> Response:
        """Any answer, whatever its status."""
        try:
            return await self.client.request(head, body, due)
        except UpstreamError as error:
            raise self.broken(error) from None

    async def stream(
        self, head: bytes, body: bytes, deadline: float, parser: EventParser | None = None
    ) -> EventStream:
        """An open stream of events, server-sent ones unless `parser` says otherwise; close it."""
        if self._sends_trace:
            head += OUTGOING.get()
        now = time.monotonic()
        first_due = min(deadline, now + self.timeouts.first_token)
        try:
            response = await self.client.stream(head, body, first_due)
            if not 200 <= response.status < 300:
                try:
                    raw = await response.read_all(ERROR_BODY_LIMIT, first_due)
                except UpstreamError:
                    raw = b""  # the status says enough
                finally:
                    response.close()
                raise self.refused(response.status, response.headers, raw)
        except UpstreamError as error:
            raise self.broken(error) from None
        total_due = min(deadline, now + self.timeouts.total)
        return EventStream(self, response, parser or SSEParser(), first_due, total_due)

    def refused(self, status: int, headers: dict[bytes, bytes], body: bytes) -> ProviderError:
        error = self._classify(status, headers, body)
        error.status = status
        if error.retry_after is None:
            error.retry_after = retry_after(headers)
        error.upstream_id = upstream_id(headers)
        return self.tell(error)

    def broken(self, error: UpstreamError) -> ProviderError:
        return ProviderError(KIND_OF[error.kind], error.message, provider=self.name)

    def unreadable(self) -> ProviderError:
        return ProviderError("transport", "the provider's answer is unreadable", provider=self.name)

    def cut(self) -> ProviderError:
        return ProviderError("transport", "the stream ended early", provider=self.name)

    def tell(self, error: ProviderError) -> ProviderError:
        """The error with our name on it and without our key: some providers quote it back."""
        message = error.message
        if error.kind == "auth":
            message = "the provider refused our credentials or their permissions"
        elif self._secret:
            message = without(self._secret, message)
        return ProviderError(
            error.kind,
            message,
            provider=self.name,
            status=error.status,
            retry_after=error.retry_after,
            param=without(self._secret, error.param) if error.param and self._secret else error.param,
            upstream_id="" if self._secret and self._secret in error.upstream_id else error.upstream_id,
        )

    async def close(self) -> None:
        await self.client.close()


class EventStream:
    """Events of a streamed answer, in the batches they arrive in."""

    __slots__ = ("_due", "_parser", "_response", "_total_due", "_upstream", "seen_token")

    def __init__(
        self,
        upstream: HttpUpstream,
        response: StreamingResponse,
        parser: EventParser,
        first_due: float,
        total_due: float,
    ) -> None:
        self._upstream = upstream
        self._response = response
        self._parser = parser
        self._due = first_due
        self._total_due = total_due
        self.seen_token = False  # set by the adapter: from then on the pause between tokens is what counts

    async def batch(self) -> list[Event] | None:
        """The next events; None at the end of the body. Raises `ProviderError`."""
        upstream = self._upstream
        while True:
            now = time.monotonic()
            if self.seen_token:
                self._due = min(self._total_due, now + upstream.timeouts.between_tokens)
            if now >= self._due:
                # Who never stops sending is never waited for, so that no timer would find this.
                raise ProviderError("timeout", "the answer does not come to its end", provider=upstream.name)
            try:
                data = await self._response.read(self._due)
                if not data:
                    return None
                events = self._parser.feed(data)
            except UpstreamError as error:
                raise upstream.broken(error) from None
            except ValueError as error:
                raise ProviderError("transport", str(error), provider=upstream.name) from None
            if events:
                return events

    def close(self, *, whole: bool = False) -> None:
        """`whole`: the last event was seen, so that the connection is worth keeping."""
        self._response.close(whole=whole)


def _origin(config: ProviderConfig, field: str, url: str, *, proxy: bool = False) -> Origin:
    try:
        origin = parse_origin(url, allow_private=config.allow_private or proxy)
    except ValueError as error:
        raise ConfigError(f"providers.{config.name}.{field}: {error}.") from None
    if proxy and origin.tls:
        raise ConfigError(
            f"providers.{config.name}.{field}: a proxy is spoken to in plain http; write http://."
        )
    return origin


def text_of(value: Any, limit: int = 500) -> str:
    """A piece of an error body as text, whatever its type."""
    return value[:limit] if isinstance(value, str) else ""
