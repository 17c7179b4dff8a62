"""Who asks: from headers to a principal that may do what the endpoint needs."""

from __future__ import annotations

from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.auth.audit import Audit
from service.auth.authenticator import Authenticator
from service.auth.credentials import NotAuthenticated
from service.auth.permissions import Principal
from service.limits.gcra import Bucket
from service.limits.local import LocalBuckets


class Gate:
    """Authenticates and authorises; `x-api-key` (Anthropic's SDK) is as good as `Authorization: Bearer`.

    An address that fails too often is answered 429 instead of 401 for a while; callers behind the same
    address whose credentials are good do not notice.
    """

    def __init__(
        self, authenticator: Authenticator, audit: Audit, failures_per_minute: int, proxies: int
    ) -> None:
        self._authenticator = authenticator
        self._audit = audit
        self._per_minute = failures_per_minute
        self._proxies = proxies
        self._failures = LocalBuckets()

    def known(self, exchange: Exchange, permission: str) -> Principal | None:
        """The principal when its credential is remembered and it may; else `admit` finds out what to say."""
        authorization = exchange.headers.get(b"authorization", b"")
        if authorization[:7] != b"Bearer ":
            return None
        principal = self._authenticator.remembered(authorization[7:])
        if principal is None or permission not in principal.permissions:
            return None
        exchange.principal = principal
        return principal

    async def admit(self, exchange: Exchange, permission: str) -> Principal:
        """The principal; with the permission "" any will do. Raises `ApiError` 401, 403 or 429, or
        `StoreUnavailable`.
        """
        try:
            credential = credential_of(exchange.headers)
            principal = self._authenticator.remembered(credential)
            if principal is None:
                principal = await self._authenticator.verify(credential)
        except NotAuthenticated as error:
            raise self.failed(exchange, str(error)) from None
        exchange.principal = principal
        if permission and permission not in principal.permissions and not principal.may(permission):
            self._note(exchange, "permission_denied", principal.id, permission=permission)
            raise ApiError(403, f"This key lacks the permission '{permission}'.")
        return principal

    def address(self, exchange: Exchange) -> str:
        return client_address(exchange, self._proxies)

    def failed(self, exchange: Exchange, reason: str, kind: str = "auth_failure") -> ApiError:
        """Note a failed attempt: 401, or 429 when this address had too many."""
        address = self.address(exchange)
        bucket = Bucket(f"auth:{address}", "auth", self._per_minute, self._per_minute)
        verdict = self._failures.admit((bucket,), (1.0,))
        if verdict[0]:
            self._audit.limited()
            return ApiError(
                429, "Too many failed attempts from this address.", retry_after=round(verdict[-1] / 1e6, 3)
            )
        self._note(exchange, kind, "", reason=reason)
        return ApiError(401, reason)

    def _note(self, exchange: Exchange, kind: str, actor: str, **details: str) -> None:
        address = self.address(exchange)
        self._audit.add(
            self._audit.event(kind, actor, address, exchange.request_id, path=exchange.template, **details)
        )


def credential_of(headers: dict[bytes, bytes]) -> bytes:
    """The key or token. Raises `NotAuthenticated` when there is none."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        if authorization[:7].lower() == b"bearer ":
            return authorization[7:].strip()
        raise NotAuthenticated("The Authorization header must read 'Bearer <key>'.")
    key = headers.get(b"x-api-key")
    if key is None:
        raise NotAuthenticated("No API key: send the header 'Authorization: Bearer sk-…'.")
    return key


def client_address(exchange: Exchange, proxies: int) -> str:
    """The peer, or what the outermost trusted proxy saw: the n-th `X-Forwarded-For` entry from the right."""
    peer = exchange.client
    if proxies == 0:
        return peer
    forwarded = exchange.headers.get(b"x-forwarded-for", b"").decode("latin-1")
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    return hops[-proxies][:64] if len(hops) >= proxies else peer
