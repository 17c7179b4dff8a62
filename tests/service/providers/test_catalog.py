from __future__ import annotations

import datetime

import pytest

from service.providers.base import Usage
from service.providers.catalog import Price, catalog, find

SONNET = Price(3.0, 15.0, cache_read=0.3, cache_write=3.75, cache_write_1h=6.0)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(1_000_000, 0), 3.0),
        (Usage(0, 1_000_000), 15.0),
        # Cached tokens are part of the input and must not be charged twice, nor at the full price.
        (Usage(1_000_000, 0, cache_read_tokens=1_000_000), 0.3),
        (Usage(1_000_000, 0, cache_write_tokens=1_000_000), 3.75),
        (Usage(1_000_000, 0, cache_write_tokens=1_000_000, cache_write_1h_tokens=1_000_000), 6.0),
        (Usage(1_000_000, 0, 500_000, 250_000), 0.25 * 3 + 0.5 * 0.3 + 0.25 * 3.75),
        # Reasoning is part of the output.
        (Usage(0, 1_000_000, reasoning_tokens=900_000), 15.0),
        (Usage(), 0.0),
        # A provider that tells more cached than input tokens never earns the client money.
        (Usage(10, 0, cache_read_tokens=1_000_000), 0.3),
    ],
)
def test_every_kind_of_token_has_its_own_price(usage: Usage, usd: float) -> None:
    assert SONNET.cost(usage) == pytest.approx(usd)


def test_without_a_price_for_cached_tokens_they_cost_as_input() -> None:
    assert Price(2.0, 4.0).cost(Usage(1_000_000, 0, 500_000, 100_000)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("model", "known_as"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5"),
        ("gemini-2.5-flash-001", "gemini-2.5-flash"),
        ("gpt-5.4-2026-03-05", "gpt-5.4"),
    ],
)
def test_a_dated_name_is_the_model_it_dates(model: str, known_as: str) -> None:
    assert find(model) is catalog()[known_as]


PROFILE = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        (f"global.{PROFILE}", 3.0),
        (f"eu.{PROFILE}", 3.3),
        (f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/us.{PROFILE}", 3.3),
    ],
)
def test_a_profile_of_bedrock_has_the_price_of_its_model(model: str, usd: float) -> None:
    """Without it budgets would let everything pass: current models have no other name there."""
    info = find(model)
    assert info is not None and info.price is not None
    assert info.price.cost(Usage(1_000_000)) == pytest.approx(usd)
    assert find("eu.unknown") is None


@pytest.mark.parametrize("model", ["gpt-5.4-pro", "gpt-5-codex", "claude", "gemini-2.5", "unknown", ""])
def test_another_model_is_never_taken_for_a_cheaper_relative(model: str) -> None:
    assert find(model) is None


def test_every_entry_says_when_and_where_it_was_read() -> None:
    for name, info in catalog().items():
        assert info.source, name
        assert datetime.date.fromisoformat(info.as_of) <= datetime.date(2026, 11, 23), name
        assert info.price is not None and info.price.output >= info.price.input >= 0, name
