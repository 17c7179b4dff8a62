"""From a credential to a principal, by asking whoever knows: key table, our signer, OpenID provider."""

from __future__ import annotations

import time
from typing import Protocol

from msgspec import Struct

from service.auth.keys import KeyStore, plausible
from service.auth.oidc import Oidc
from service.auth.permissions import Principal
from service.auth.sessions import TokenStore
from service.auth.tokens import InvalidToken, TokenSigner, looks_like_token


class NotAuthenticated(Exception):
    """No or no valid credentials; the message says which, never the credential."""


class Verified(Struct, frozen=True):
    """`names` are what a revocation may call it by; `lives` seconds from now at most."""

    principal: Principal
    names: tuple[str, ...]
    lives: float = float("inf")


class Credentials(Protocol):
    """Raises `NotAuthenticated` or `StoreUnavailable`."""

    async def verify(self, credential: str) -> Verified: ...


class AllCredentials:
    """Keys, our own tokens, and tokens of an OpenID provider."""

    def __init__(self, keys: KeyStore, signer: TokenSigner, tokens: TokenStore, oidc: Oidc | None) -> None:
        self._keys = keys
        self._signer = signer
        self._tokens = tokens
        self._oidc = oidc

    async def verify(self, credential: str) -> Verified:
        if plausible(credential):
            principal = await self._keys.find(credential)
            if principal is None:
                raise NotAuthenticated("This API key is unknown, expired or revoked.")
            return Verified(principal, (principal.id,), _left(principal))
        if not looks_like_token(credential):
            raise NotAuthenticated("This is not an API key: keys start with 'sk-' and have 46 characters.")
        try:
            return await self._token(credential)
        except InvalidToken as error:
            raise NotAuthenticated(str(error)) from None

    async def _token(self, token: str) -> Verified:
        if self._signer.enabled and (self._oidc is None or self._signer.signed(token)):
            claims = self._signer.read(token, "access")
            key = await self._keys.by_id(claims.subject)
            if key is None or await self._tokens.revoked(claims.id):
                raise NotAuthenticated("This token is revoked, or the key it stands for is.")
            principal = Principal(
                id=key.id,
                account=key.account,
                name=key.name,
                kind="token",
                permissions=frozenset([one for one in claims.permissions if key.may(one)]),
                limits=key.limits,
                budget_usd=key.budget_usd,
                changed=key.changed,
            )
            lives = min(claims.expires - time.time(), _left(key))
            return Verified(principal, (key.id, f"token:{claims.id}"), lives)
        if self._oidc is None:
            raise NotAuthenticated("Tokens are not in use here; send an API key.")
        claims = await self._oidc.read(token)
        subject = "oidc:" + "".join(one if one.isalnum() or one in "-_.|@" else "_" for one in claims.subject)
        principal = Principal(subject, subject, claims.subject, "oidc", claims.permissions)
        return Verified(principal, (subject,), claims.expires - time.time())


def _left(principal: Principal) -> float:
    return float("inf") if principal.expires_at is None else principal.expires_at.timestamp() - time.time()
