"""Tokens of an OpenID provider (Auth0 and the like): RS256 or ES256, its JWKS, claims to permissions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from service.auth.permissions import PERMISSIONS
from service.auth.tokens import CLOCK_SECONDS, Claims, InvalidToken
from service.storage.database import StoreUnavailable

ALGORITHMS: Final = ("RS256", "ES256")
FRESH_SECONDS: Final = 3600.0
# A token with an unknown kid may mean that the provider rotated; made-up kids must not make us hammer it.
LEAST_BETWEEN: Final = 30.0
FETCH_SECONDS: Final = 5.0
MAX_BYTES: Final = 262_144


@dataclass(frozen=True)
class OidcSettings:
    """`claim` holds permissions as a list or a space-separated string (`scope`)."""

    issuer: str
    audience: str
    jwks_url: str
    claim: str = "permissions"


def jwks_url(issuer: str, given: str) -> str:
    """Auth0's place unless given. Raises ValueError when it is not https (http is for loopback only)."""
    url = given or issuer.rstrip("/") + "/.well-known/jwks.json"
    parts = urlsplit(url)
    if parts.scheme != "https" and not (
        parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}
    ):
        raise ValueError("the JWKS URL must be https")
    return url


class Oidc:
    """Verifies; keys are fetched when first needed and kept while the provider is away."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._keys: dict[str, Any] = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def read(self, token: str) -> Claims:
        """Raises `InvalidToken`, or `StoreUnavailable` while no keys can be had."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise InvalidToken("This token is not valid here.") from None
        if header.get("alg") not in ALGORITHMS:
            raise InvalidToken("This token's algorithm is not accepted here.")
        key = await self._key(str(header.get("kid", "")))
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                list(ALGORITHMS),
                leeway=CLOCK_SECONDS,
                audience=self.settings.audience,
                issuer=self.settings.issuer,
                options={"require": ["exp", "sub", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidToken("This token has expired.") from None
        except (jwt.PyJWTError, TypeError, ValueError):
            raise InvalidToken("This token is not valid here.") from None
        return Claims(
            str(claims.get("jti", "")),
            str(claims["sub"])[:200],
            "access",
            permissions(claims.get(self.settings.claim, claims.get("scope"))),
            float(claims["exp"]),
        )

    async def _key(self, kid: str) -> Any:
        async with self._lock:
            now = time.monotonic()
            stale = now - self._fetched > FRESH_SECONDS
            if (stale or kid not in self._keys) and now - self._tried > LEAST_BETWEEN:
                self._tried = now
                await self._fetch()
        if kid in self._keys:
            return self._keys[kid]
        if not self._keys:
            raise StoreUnavailable("openid provider", LEAST_BETWEEN)
        raise InvalidToken("This token was signed with a key that its issuer does not publish.")

    async def _fetch(self) -> None:
        import jwt

        try:
            # The thread's own limit is one of silence: who drips would hold everybody up.
            async with asyncio.timeout(FETCH_SECONDS):
                data = await asyncio.to_thread(download, self.settings.jwks_url)
            found = json.loads(data)["keys"]
            keys = {}
            for one in found:
                if one.get("use", "sig") == "sig" and one.get("kty") in ("RSA", "EC"):
                    # One that we cannot use is none of the others' fault.
                    with contextlib.suppress(jwt.PyJWTError):
                        keys[str(one.get("kid", ""))] = jwt.PyJWK(one).key
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # keys that were good stay good while the provider is away
        if keys:  # nor does a set without any take them away
            self._keys, self._fetched = keys, time.monotonic()


def download(url: str) -> bytes:
    """The document, bounded in time and size; redirects are not followed."""
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(url, timeout=FETCH_SECONDS) as response:
        data: bytes = response.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError("the key set is too large")
    return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def permissions(claim: object) -> frozenset[str]:
    """Ours among what the claim lists; `superagent:chat` counts as `chat`."""
    if isinstance(claim, str):
        listed = claim.split()
    elif isinstance(claim, list):
        listed = [one for one in claim if isinstance(one, str)]
    else:
        return frozenset()
    return frozenset(one.removeprefix("superagent:") for one in listed) & frozenset(PERMISSIONS)
