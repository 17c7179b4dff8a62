"""Who asks: from headers to a principal that may do what the endpoint needs."""

from __future__ import annotations

from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.auth.authenticator import Authenticator
from service.auth.permissions import Principal


class Gate:
    """Authenticates and authorises; `x-api-key` (Anthropic's SDK) is as good as `Authorization: Bearer`."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def admit(self, exchange: Exchange, permission: str) -> Principal:
        """The principal. Raises `ApiError` 401 or 403, or `StoreUnavailable`."""
        credential = credential_of(exchange.headers)
        principal = self._authenticator.remembered(credential)
        if principal is None:
            principal = await self._authenticator.verify(credential)
        exchange.principal = principal
        if permission not in principal.permissions and not principal.may(permission):
            raise ApiError(403, f"This key lacks the permission '{permission}'.")
        return principal


def credential_of(headers: dict[bytes, bytes]) -> bytes:
    """The key or token. Raises `ApiError` 401 when there is none."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        if authorization[:7].lower() == b"bearer ":
            return authorization[7:].strip()
        raise ApiError(401, "The Authorization header must read 'Bearer <key>'.")
    key = headers.get(b"x-api-key")
    if key is None:
        raise ApiError(401, "No API key: send the header 'Authorization: Bearer sk-…'.")
    return key
