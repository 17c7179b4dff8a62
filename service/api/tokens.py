"""`/auth/*`: short-lived tokens for a key, refreshed and revoked."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from service.api.endpoint import Door, answer, body
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.api.gate import Gate
from service.auth.audit import Audit
from service.auth.keys import KeyStore
from service.auth.permissions import Permission
from service.auth.revocations import Revocations
from service.auth.sessions import TokenStore
from service.auth.tokens import InvalidToken, TokenSigner


class TokenRequest(Struct, forbid_unknown_fields=True):
    """Body of `POST /auth/token`: a part of the key's permissions, or all of them."""

    permissions: Annotated[list[Permission], Meta(min_length=1, max_length=5)] | None = None


class Refresh(Struct, forbid_unknown_fields=True):
    """Body of `POST /auth/refresh`."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=8192)]


class Revocation(Struct, forbid_unknown_fields=True):
    """Body of `POST /auth/revoke`: an access or a refresh token."""

    token: Annotated[str, Meta(min_length=1, max_length=8192)]


TOKEN: Final = msgspec.json.Decoder(TokenRequest)
REFRESH: Final = msgspec.json.Decoder(Refresh)
REVOKE: Final = msgspec.json.Decoder(Revocation)


class Tokens:
    """Answers 501 while no signing keys are configured."""

    def __init__(
        self,
        door: Door,
        gate: Gate,
        signer: TokenSigner,
        store: TokenStore,
        keys: KeyStore,
        revocations: Revocations,
        audit: Audit,
    ) -> None:
        self._door = door
        self._gate = gate
        self._signer = signer
        self._store = store
        self._keys = keys
        self._revocations = revocations
        self._audit = audit

    async def issue(self, exchange: Exchange) -> None:
        self._enabled()
        principal = await self._door.enter(exchange, "")
        if principal.kind != "key":
            raise ApiError(403, "Only an API key can ask for tokens.")
        wanted = await body(exchange, TOKEN)
        permissions = frozenset(wanted.permissions or principal.permissions)
        lacking = sorted(one for one in permissions if not principal.may(one))
        if lacking:
            raise ApiError(403, f"This key lacks the permission '{lacking[0]}'.", param="permissions")
        # What `admin` implies must be in the token's own list: a token has what both it and its key have.
        pair = await self._store.issue(principal.id, permissions)
        self._note(exchange, "token_issued", principal.id)
        await answer(exchange, pair)

    async def refresh(self, exchange: Exchange) -> None:
        self._enabled()
        given = await body(exchange, REFRESH)
        try:
            claims = self._signer.read(given.refresh_token, "refresh")
            subject, permissions, family = await self._store.refresh(claims)
        except InvalidToken as error:
            kind = "refresh_reused" if "used before" in str(error) else "auth_failure"
            raise self._gate.failed(exchange, str(error), kind) from None
        if await self._keys.by_id(subject) is None:
            raise self._gate.failed(exchange, "The key behind this token is revoked or expired.")
        pair = await self._store.issue(subject, permissions, family)
        self._note(exchange, "token_refreshed", subject)
        await answer(exchange, pair)

    async def revoke(self, exchange: Exchange) -> None:
        """Who holds a token may end it (RFC 7009); ending what is no token is no error."""
        self._enabled()
        given = await body(exchange, REVOKE)
        for kind in ("access", "refresh"):
            try:
                claims = self._signer.read(given.token, kind)
            except InvalidToken:
                continue
            await self._store.revoke(claims)
            await self._revocations.publish(f"token:{claims.id}")
            self._note(exchange, "token_revoked", claims.subject)
        await answer(exchange, {"revoked": True})

    def _enabled(self) -> None:
        if not self._signer.enabled:
            raise ApiError(501, "Tokens are not in use here: SUPERAGENT_JWT_KEYS is not set.")

    def _note(self, exchange: Exchange, kind: str, actor: str) -> None:
        self._audit.add(self._audit.event(kind, actor, self._gate.address(exchange), exchange.request_id))
