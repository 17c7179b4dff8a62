"""What routing tells the metrics; routing itself knows no metric library."""

from __future__ import annotations

from typing import Protocol

from service.providers.base import ProviderError, Usage
from service.routing.context import Attempt, CallContext


class RoutingRecorder(Protocol):
    """Called on the request path: implementations must be quick and never raise.

    `status` is "ok", "cancelled" or an error kind; times are in seconds; breaker states are
    0 closed, 1 open, 2 half-open.
    """

    def ended(
        self, ctx: CallContext, attempt: Attempt, model: str, number: int, error: ProviderError | None
    ) -> None:
        """An attempt is over, the call's `number`-th; `model` is its name in metrics, `error` what a failed
        one failed with.
        """

    def first_token(self, provider: str, seconds: float) -> None: ...

    def token_pace(self, provider: str, seconds_per_token: float) -> None: ...

    def usage(self, provider: str, model: str, usage: Usage, cost_usd: float) -> None: ...

    def breaker(self, provider: str, state: int) -> None: ...

    def health(self, provider: str, healthy: bool) -> None: ...

    def fallback(self, source: str, target: str) -> None: ...


class SilentRecorder:
    """Records nothing: for tests and tools."""

    def ended(
        self, ctx: CallContext, attempt: Attempt, model: str, number: int, error: ProviderError | None
    ) -> None:
        pass

    def first_token(self, provider: str, seconds: float) -> None:
        pass

    def token_pace(self, provider: str, seconds_per_token: float) -> None:
        pass

    def usage(self, provider: str, model: str, usage: Usage, cost_usd: float) -> None:
        pass

    def breaker(self, provider: str, state: int) -> None:
        pass

    def health(self, provider: str, healthy: bool) -> None:
        pass

    def fallback(self, source: str, target: str) -> None:
        pass
