"""Tokens: ours by HS256 and kid, and an OpenID provider's by RS256/ES256 and JWKS."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from service.auth import oidc as module
from service.auth.oidc import Oidc, OidcSettings, jwks_url, permissions
from service.auth.tokens import InvalidToken, TokenSigner, parse_keys
from service.storage.database import StoreUnavailable

OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)


def signer(*keys: tuple[str, bytes], issuer: str = "us") -> TokenSigner:
    return TokenSigner(list(keys or (NEW,)), issuer, "aud")


def test_a_token_says_what_was_signed() -> None:
    claims = signer().read(signer().sign("access", "key_1", frozenset({"chat"})), "access")
    assert (claims.subject, claims.permissions) == ("key_1", {"chat"})
    assert 3500 < claims.expires - time.time() <= 3600


def test_a_token_of_a_node_whose_clock_is_ahead_is_good_here(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = TokenSigner([("one", b"x" * 32)], "iss", "aud")
    now = time.time()
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: now + 3)
        token = signer.sign("access", "key_1", frozenset({"chat"}))
    assert signer.read(token, "access").subject == "key_1"


def test_keys_rotate_by_kid() -> None:
    token = signer(OLD).sign("access", "k", frozenset())
    assert signer(NEW, OLD).read(token, "access").subject == "k"
    assert jwt.get_unverified_header(signer(NEW, OLD).sign("access", "k", frozenset()))["kid"] == "new"
    with pytest.raises(InvalidToken, match="not in use"):
        signer(NEW).read(token, "access")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"aud": "other"},
        {"iss": "other"},
        {"nbf": 4_000_000_000},
        {"use": "refresh"},
        {"permissions": "chat"},
        {"sub": None},
    ],
)
def test_what_does_not_hold_is_refused(claims: dict[str, Any]) -> None:
    now = int(time.time())
    good = {
        "iss": "us", "aud": "aud", "sub": "k", "jti": "j", "iat": now, "exp": now + 60, "use": "access",
        "permissions": [],
    }  # fmt: skip
    signer().read(jwt.encode(good, NEW[1], "HS256", headers={"kid": "new"}), "access")
    mixed = {name: value for name, value in {**good, **claims}.items() if value is not None}
    with pytest.raises(InvalidToken):
        signer().read(jwt.encode(mixed, NEW[1], "HS256", headers={"kid": "new"}), "access")


def test_a_token_without_signature_is_refused() -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"new"}').rstrip(b"=").decode()
    body = signer().sign("access", "k", frozenset()).split(".")[1]
    for forged in (f"{header}.{body}.", f"{header}.{body}.AAAA"):
        with pytest.raises(InvalidToken):
            signer().read(forged, "access")


@pytest.mark.parametrize("text", ["nocolon", "kid:short", ":secretsecretsecretsecretsecretsecret"])
def test_weak_or_broken_keys_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_keys(text)
    assert "secretsecret" not in str(caught.value)


class Provider:
    """An OpenID provider's key set on loopback."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65_537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.published = ["rsa", "ec"]
        self.asked = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                body = provider.key_set()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def key_set(self) -> bytes:
        algorithms = {"rsa": jwt.algorithms.RSAAlgorithm, "ec": jwt.algorithms.ECAlgorithm}
        keys = []
        for name in self.published:
            public = getattr(self, name).public_key()
            keys.append({**json.loads(algorithms[name].to_jwk(public)), "kid": name, "use": "sig"})
        return json.dumps({"keys": keys}).encode()

    def sign(self, name: str = "rsa", algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        good = {
            "iss": self.issuer, "aud": "aud", "sub": "auth0|1", "exp": now + 60,
            "permissions": ["chat", "root"],
        }  # fmt: skip
        return jwt.encode({**good, **claims}, getattr(self, name), algorithm, headers={"kid": name})


@pytest.fixture
def provider() -> Iterator[Provider]:
    one = Provider()
    yield one
    one.server.shutdown()
    one.server.server_close()


def reader(provider: Provider) -> Oidc:
    return Oidc(OidcSettings(provider.issuer, "aud", jwks_url(provider.issuer, "")))


@pytest.mark.parametrize(("name", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
async def test_an_openid_token_is_verified_with_published_keys_fetched_once(
    provider: Provider, name: str, algorithm: str
) -> None:
    oidc = reader(provider)
    for _ in range(3):
        claims = await oidc.read(provider.sign(name, algorithm))
    assert (claims.subject, claims.permissions) == ("auth0|1", {"chat"})
    assert provider.asked == 1


@pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "other"}, {"iss": "https://evil/"}])
async def test_an_openid_token_that_does_not_hold_is_refused(
    provider: Provider, claims: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken):
        await reader(provider).read(provider.sign(**claims))


async def test_a_public_key_is_not_taken_for_a_secret(provider: Provider) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = provider.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    import hashlib
    import hmac

    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa"}').rstrip(b"=")
    body = provider.sign().split(".")[1].encode()
    mac = base64.urlsafe_b64encode(hmac.digest(pem, head + b"." + body, hashlib.sha256)).rstrip(b"=")
    with pytest.raises(InvalidToken, match="algorithm"):
        await reader(provider).read(b".".join([head, body, mac]).decode())


async def test_a_key_of_the_set_that_is_not_for_us_costs_the_others_nothing(provider: Provider) -> None:
    key_set = json.loads(provider.key_set())["keys"]
    strange = {**key_set[0], "kid": "x", "alg": "RSA-OAEP-256"}
    del strange["use"]
    provider.key_set = lambda: json.dumps({"keys": [strange, *key_set]}).encode()  # type: ignore[method-assign]
    assert (await reader(provider).read(provider.sign())).subject == "auth0|1"


async def test_an_empty_key_set_takes_no_good_key_away(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    oidc = reader(provider)
    await oidc.read(provider.sign())
    provider.published = []
    monkeypatch.setattr(module, "LEAST_BETWEEN", 0.0)
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    assert (await oidc.read(provider.sign())).subject == "auth0|1"
    assert provider.asked == 2


async def test_a_key_set_that_drips_holds_nobody_up(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def drips(url: str) -> bytes:
        ended.wait(30)
        return b""

    monkeypatch.setattr(module, "download", drips)
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.05)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable):
                await reader(provider).read(provider.sign())
    finally:
        ended.set()


async def test_a_token_is_good_where_the_clock_is_a_little_behind(provider: Provider) -> None:
    ahead = int(time.time()) + 3
    assert (await reader(provider).read(provider.sign(iat=ahead, nbf=ahead))).subject == "auth0|1"
    with pytest.raises(InvalidToken):
        await reader(provider).read(provider.sign(nbf=ahead + 60))


async def test_made_up_kids_do_not_hammer_the_provider_and_a_rotation_is_found(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.published = ["ec"]
    oidc = reader(provider)
    await oidc.read(provider.sign("ec", "ES256"))
    for _ in range(5):
        with pytest.raises(InvalidToken):
            await oidc.read(provider.sign("rsa"))
    assert provider.asked == 1
    provider.published = ["rsa", "ec"]
    monkeypatch.setattr(module, "LEAST_BETWEEN", 0.0)
    assert (await oidc.read(provider.sign("rsa"))).subject == "auth0|1"


async def test_known_keys_survive_the_providers_absence_and_unknown_ones_are_nobodys_fault(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    oidc = reader(provider)
    await oidc.read(provider.sign())
    provider.server.shutdown()
    provider.server.server_close()
    monkeypatch.setattr(module, "LEAST_BETWEEN", 0.0)
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    assert (await oidc.read(provider.sign())).subject == "auth0|1"
    with pytest.raises(StoreUnavailable):
        await reader(provider).read(provider.sign())


def test_key_sets_come_by_https() -> None:
    assert jwks_url("https://x.auth0.com/", "") == "https://x.auth0.com/.well-known/jwks.json"
    for bad in ("http://x.example/", "file:///etc/passwd", "ftp://x/"):
        with pytest.raises(ValueError, match="https"):
            jwks_url("https://x/", bad)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (["chat", "x"], {"chat"}),
        ("superagent:read openid", {"read"}),
        ({"chat": 1}, set()),
        ([1, None], set()),
        (None, set()),
    ],
)
def test_claims_become_permissions(claim: object, expected: set[str]) -> None:
    assert permissions(claim) == expected
