"""Fake upstreams, and requests in the internal language."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.providers.base import CanonicalRequest, Message, Text
from tests.service.fakes.openai_api import FakeOpenAI
from tests.service.fakes.serving import serve


@pytest.fixture(scope="module")
def openai_server() -> Iterator[tuple[FakeOpenAI, str]]:
    fake = FakeOpenAI()
    with serve(fake) as url:
        yield fake, url + "/v1"


@pytest.fixture
def ask() -> Callable[..., CanonicalRequest]:
    def build(text: str = "one two three", model: str = "gpt-fake", **more: Any) -> CanonicalRequest:
        messages = more.pop("messages", (Message("user", (Text(text),)),))
        return CanonicalRequest(model=model, messages=messages, **more)

    return build


@pytest.fixture
def soon() -> float:
    return time.monotonic() + 10
