"""One taxonomy for everything that can go wrong with a provider.

A message carries what the upstream said, shortened; never a header, key or request body.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

ErrorKind = Literal[
    "auth",
    "quota",
    "rate_limited",
    "overloaded",
    "context_too_long",
    "content_filtered",
    "bad_request",
    "not_found",
    "timeout",
    "transport",
    "internal",
]


class Handling(NamedTuple):
    """What routing and the API do with a kind of error."""

    http_status: int  # what the client of the gateway gets
    retry: bool  # worth another try at the same provider
    failover: bool  # worth a try at another provider
    breaks: bool  # counts against the provider's circuit breaker


# Our own key or bill at a provider is no fault of the client: 502/503, never 401.
HANDLING: Final[dict[ErrorKind, Handling]] = {
    "auth": Handling(502, retry=False, failover=True, breaks=True),
    "quota": Handling(503, retry=False, failover=True, breaks=True),
    "rate_limited": Handling(429, retry=True, failover=True, breaks=False),
    "overloaded": Handling(503, retry=True, failover=True, breaks=True),
    "context_too_long": Handling(400, retry=False, failover=True, breaks=False),
    "content_filtered": Handling(400, retry=False, failover=False, breaks=False),
    "bad_request": Handling(400, retry=False, failover=False, breaks=False),
    # The provider has no such model: our configuration is wrong there, another may have it.
    "not_found": Handling(404, retry=False, failover=True, breaks=False),
    "timeout": Handling(504, retry=True, failover=True, breaks=True),
    "transport": Handling(502, retry=True, failover=True, breaks=True),
    "internal": Handling(502, retry=True, failover=True, breaks=True),
}

MESSAGE_LIMIT: Final = 500


class ProviderError(Exception):
    """A provider did not do what was asked.

    `status` is the upstream's HTTP status (None when there was none), `retry_after` seconds from now,
    `provider` the configured name. `param` names the field at fault when the upstream told, `upstream_id`
    is the upstream's name for the request.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        provider: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        param: str | None = None,
        upstream_id: str = "",
    ) -> None:
        self.kind: ErrorKind = kind
        self.message = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
        self.provider = provider
        self.status = status
        self.retry_after = retry_after
        self.param = param
        self.upstream_id = upstream_id
        super().__init__(kind, self.message)

    @property
    def handling(self) -> Handling:
        return HANDLING[self.kind]

    @property
    def http_status(self) -> int:
        """What the gateway's own client is answered."""
        return HANDLING[self.kind].http_status

    def __str__(self) -> str:
        where = f"{self.provider}: " if self.provider else ""
        code = f" (HTTP {self.status})" if self.status else ""
        return f"{where}{self.kind}{code}: {self.message}"


class UnknownModel(ProviderError):
    """No configured provider serves this model or alias; the API answers 404."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__("not_found", f"The model '{model[:100]}' does not exist here.", param="model")


class ProvidersUnavailable(ProviderError):
    """Every provider of the chain failed or is skipped by its breaker; the API answers 503.

    `reasons` has one line per provider, safe to show.
    """

    def __init__(self, reasons: tuple[str, ...], retry_after: float | None = None) -> None:
        self.reasons = reasons
        super().__init__(
            "overloaded", "No provider can answer now: " + "; ".join(reasons), retry_after=retry_after
        )
