"""Our own JSON Web Tokens: HS256, an hour for access and a day for refreshing, keys rotated by `kid`.

The first key signs, all of them verify: to rotate, put a new one in front and drop the old one a day later.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

ACCESS_SECONDS: Final = 3600
REFRESH_SECONDS: Final = 86_400
LEAST_BYTES: Final = 32
CLOCK_SECONDS: Final = 5.0  # so far may the clocks of who signs and who reads be apart


class InvalidToken(Exception):
    """The token cannot be accepted; the message says why, without its content."""


@dataclass(frozen=True)
class Claims:
    """What a verified token says. `id` is its `jti`, times are seconds since the epoch."""

    id: str
    subject: str
    kind: str  # access or refresh
    permissions: frozenset[str]
    expires: float


class TokenSigner:
    """Makes and reads tokens. `keys` are (kid, secret), the signing one first."""

    def __init__(self, keys: list[tuple[str, bytes]], issuer: str, audience: str) -> None:
        self._keys = dict(keys)
        self._signing = keys[0][0] if keys else ""
        self._issuer = issuer
        self._audience = audience

    @property
    def enabled(self) -> bool:
        return bool(self._keys)

    @property
    def issuer(self) -> str:
        return self._issuer

    def sign(self, kind: str, subject: str, permissions: frozenset[str], identity: str | None = None) -> str:
        import jwt  # takes 100 ms to import and is needed by few processes

        now = int(time.time())
        life = ACCESS_SECONDS if kind == "access" else REFRESH_SECONDS
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "jti": identity or new_id(),
            "iat": now,
            "nbf": now,
            "exp": now + life,
            "use": kind,
            "permissions": sorted(permissions),
        }
        return jwt.encode(claims, self._keys[self._signing], "HS256", headers={"kid": self._signing})

    def signed(self, token: str) -> bool:
        """Whether the token names one of our keys (it may still be false)."""
        import jwt

        try:
            return jwt.get_unverified_header(token).get("kid") in self._keys
        except (jwt.PyJWTError, TypeError):
            return False

    def read(self, token: str, kind: str) -> Claims:
        """Verify signature, times, issuer, audience and use. Raises `InvalidToken`."""
        import jwt

        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._keys.get(kid) if isinstance(kid, str) else None
            if key is None:
                raise InvalidToken("This token was signed with a key that is not in use here.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                ["HS256"],
                leeway=CLOCK_SECONDS,
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "iat", "sub", "jti", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidToken("This token has expired; get a new one from /auth/refresh.") from None
        except jwt.PyJWTError:
            raise InvalidToken("This token is not valid here.") from None
        if claims.get("use") != kind:
            raise InvalidToken(f"This is not a token for {'access' if kind == 'access' else 'refreshing'}.")
        permissions = claims.get("permissions")
        if not isinstance(permissions, list):
            raise InvalidToken("This token is not valid here.")
        return Claims(
            str(claims["jti"]),
            str(claims["sub"]),
            kind,
            frozenset(map(str, permissions)),
            float(claims["exp"]),
        )


def parse_keys(text: str) -> list[tuple[str, bytes]]:
    """`kid:secret,kid:secret`; raises ValueError, never with a secret."""
    keys: list[tuple[str, bytes]] = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        kid, colon, secret = part.partition(":")
        if not colon or not kid:
            raise ValueError("keys read '<kid>:<secret>', several with commas, the signing one first")
        if len(secret.encode()) < LEAST_BYTES:
            raise ValueError(f"the secret of key {kid[:20]!r} is shorter than {LEAST_BYTES} bytes")
        keys.append((kid, secret.encode()))
    return keys


def new_id() -> str:
    return secrets.token_hex(16)


def looks_like_token(credential: str) -> bool:
    """Three parts of base64url; keys have no dots."""
    return credential.count(".") == 2 and credential.startswith("ey")
