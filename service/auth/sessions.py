"""Refresh tokens and revocations, in Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from service.auth.tokens import ACCESS_SECONDS, REFRESH_SECONDS, Claims, InvalidToken, TokenSigner, new_id
from service.storage.database import Database


class TokenStore:
    """Every method raises `StoreUnavailable` when Postgres is away."""

    def __init__(self, database: Database, signer: TokenSigner) -> None:
        self._database = database
        self._signer = signer

    async def issue(
        self, subject: str, permissions: frozenset[str], family: str | None = None
    ) -> dict[str, object]:
        """A pair of tokens in the form of OAuth 2.0's answer (RFC 6749, section 5.1)."""
        identity = new_id()
        await self._database.execute(
            "insert into refresh_tokens (id, family, subject, permissions, expires_at) "
            "values ($1, $2, $3, $4, $5)",
            identity,
            family or identity,
            subject,
            sorted(permissions),
            datetime.now(UTC) + timedelta(seconds=REFRESH_SECONDS),
        )
        return {
            "access_token": self._signer.sign("access", subject, permissions),
            "token_type": "Bearer",
            "expires_in": ACCESS_SECONDS,
            "refresh_token": self._signer.sign("refresh", subject, permissions, identity),
            "refresh_expires_in": REFRESH_SECONDS,
            "scope": " ".join(sorted(permissions)),
        }

    async def refresh(self, claims: Claims) -> tuple[str, frozenset[str], str]:
        """Use a refresh token: (subject, permissions, family). Raises `InvalidToken`.

        A token that was used before was stolen, from us or from them: the whole family ends.
        """
        row = await self._database.fetchrow(
            "update refresh_tokens set used_at = now() where id = $1 and used_at is null "
            "and revoked_at is null and expires_at > now() returning subject, permissions, family",
            claims.id,
        )
        if row is not None:
            return row["subject"], frozenset(row["permissions"]), row["family"]
        used = await self._database.fetchrow(
            "update refresh_tokens set revoked_at = coalesce(revoked_at, now()) where family = "
            "(select family from refresh_tokens where id = $1 and used_at is not null) returning family",
            claims.id,
        )
        if used is not None:
            raise InvalidToken("This refresh token was used before; its session is ended. Sign in again.")
        raise InvalidToken("This refresh token is unknown, expired or revoked.")

    async def revoke(self, claims: Claims) -> None:
        """End one access token, or the whole family of a refresh token."""
        if claims.kind == "refresh":
            await self._database.execute(
                "update refresh_tokens set revoked_at = now() where revoked_at is null and family = "
                "(select family from refresh_tokens where id = $1)",
                claims.id,
            )
            return
        await self._database.execute(
            "insert into revoked_tokens (id, expires_at) values ($1, $2) on conflict do nothing",
            claims.id,
            datetime.fromtimestamp(claims.expires, UTC),
        )

    async def revoked(self, identity: str) -> bool:
        return (
            await self._database.fetchrow("select 1 from revoked_tokens where id = $1", identity) is not None
        )

    async def tidy(self) -> None:
        """Forget what has expired by itself."""
        await self._database.execute("delete from revoked_tokens where expires_at < now()")
        await self._database.execute(
            "delete from refresh_tokens where expires_at < now() - interval '7 days'"
        )
