"""What a provider writes about a failure passes through one place, and our key does not pass it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.providers.base import CanonicalRequest, ProviderError
from service.providers.config import ProviderConfig
from service.providers.http_client import upstream_id, without
from service.providers.openai_compatible import OpenAICompatible
from service.telemetry.traces import OUTGOING, Recording, Trace
from tests.service.fakes.openai_api import KEY, FakeOpenAI

SECRET = "sk-abcdefghijklmnopqrstuvwxyz"


@given(st.text(max_size=30), st.integers(0, 60))
def test_a_key_is_not_told_however_the_text_is_cut(before: str, kept: int) -> None:
    whole = f"{before}{SECRET} and {SECRET}"
    for text in (whole[:kept], whole[:kept] + "…"):
        told = without(SECRET, text)
        assert not any(SECRET[:length] in told for length in range(8, len(SECRET) + 1))


def test_other_text_stays() -> None:
    for text in ("", "…", "The request is wrong.", "sk", "a" * 500):
        assert without(SECRET, text) == text


@pytest.mark.parametrize(
    ("headers", "identity"),
    [
        ({b"x-request-id": b"req_1"}, "req_1"),
        ({b"request-id": b"req_2"}, "req_2"),
        ({b"x-amzn-requestid": b"1-2-3"}, "1-2-3"),
        ({b"x-request-id": b"two words", b"request-id": b"req_3"}, "req_3"),
        ({b"x-request-id": b"x" * 129}, ""),
        ({b"x-request-id": b"\xff"}, ""),
        ({}, ""),
    ],
)
def test_the_upstreams_name_for_a_request_is_a_name(headers: dict[bytes, bytes], identity: str) -> None:
    assert upstream_id(headers) == identity


def provider(url: str, monkeypatch: pytest.MonkeyPatch, **more: bool) -> OpenAICompatible:
    monkeypatch.setenv("FAKE_KEY", KEY)
    return OpenAICompatible(
        ProviderConfig(
            name="up", kind="openai", base_url=url, allow_private=True, models=("gpt-fake",),
            key_env="FAKE_KEY", **more,
        )
    )  # fmt: skip


async def test_an_error_that_quotes_the_key_is_told_without_it(
    openai_server: tuple[FakeOpenAI, str],
    ask: Callable[..., CanonicalRequest],
    soon: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, url = openai_server
    up = provider(url, monkeypatch)
    for start in (0, 480, 490):  # in the middle of the text, and where it is cut
        message = f"{'x' * start}{KEY} is overloaded"
        body = {"error": {"message": message, "type": "server_error", "param": KEY}}
        fake.fail_next(503, body, {"x-request-id": KEY})
        with pytest.raises(ProviderError) as caught:
            await up.complete(ask(), soon)
        error = caught.value
        assert KEY[:8] not in f"{error.message}{error.param}{error.upstream_id}{error}{error!r}"
    fake.fail_next(503, body, {"x-request-id": "req_9"})
    with pytest.raises(ProviderError) as caught:
        await up.complete(ask(), soon)
    assert caught.value.upstream_id == "req_9"
    await up.close()


@pytest.mark.parametrize("told", [True, False])
async def test_only_a_provider_that_is_configured_so_learns_of_the_trace(
    openai_server: tuple[FakeOpenAI, str],
    ask: Callable[..., CanonicalRequest],
    soon: float,
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
) -> None:
    fake, url = openai_server
    up = provider(url, monkeypatch, send_traceparent=told)
    recording = Recording("1" * 32, "", "GET /", 2, 0.0)
    OUTGOING.set(Trace("1" * 32, recording, b"congo=1").outgoing(recording.root))
    await up.complete(ask(), soon)
    async for _ in up.stream(ask(), soon):
        pass
    sent = [one.get("traceparent") for one in fake.headers[-2:]]
    assert sent == [f"00-{'1' * 32}-{recording.root.id}-01" if told else None] * 2
    assert [one.get("tracestate") for one in fake.headers[-2:]] == ["congo=1" if told else None] * 2
    await up.close()
