"""From settings to what verifies tokens; both raise `ValueError` with the setting's name."""

from __future__ import annotations

from service.auth.oidc import Oidc, OidcSettings, jwks_url
from service.auth.tokens import TokenSigner, parse_keys
from service.settings import Settings


def signer(settings: Settings) -> TokenSigner:
    """Our own tokens."""
    keys = settings.jwt_keys.get_secret_value() if settings.jwt_keys is not None else ""
    try:
        return TokenSigner(parse_keys(keys), settings.jwt_issuer, settings.jwt_audience)
    except ValueError as error:
        raise ValueError(f"SUPERAGENT_JWT_KEYS: {error}.") from None


def oidc(settings: Settings) -> Oidc | None:
    """Tokens of an OpenID provider, where one is named."""
    if not settings.oidc_issuer:
        return None
    try:
        url = jwks_url(settings.oidc_issuer, settings.oidc_jwks_url)
    except ValueError as error:
        raise ValueError(f"SUPERAGENT_OIDC_JWKS_URL: {error}.") from None
    return Oidc(OidcSettings(settings.oidc_issuer, settings.oidc_audience, url, settings.oidc_claim))
