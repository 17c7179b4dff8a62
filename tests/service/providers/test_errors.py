from __future__ import annotations

from typing import get_args

import pytest

from service.providers.base import ErrorKind, ProviderError, ProvidersUnavailable, UnknownModel
from service.providers.errors import HANDLING


def test_every_kind_of_error_has_a_handling() -> None:
    assert set(HANDLING) == set(get_args(ErrorKind))


@pytest.mark.parametrize("kind", ["auth", "quota"])
def test_our_own_account_trouble_is_never_blamed_on_the_client(kind: ErrorKind) -> None:
    assert ProviderError(kind, "no").http_status >= 500


def test_what_the_client_did_wrong_neither_opens_the_breaker_nor_is_sent_elsewhere() -> None:
    handling = ProviderError("bad_request", "no").handling
    assert (handling.retry, handling.failover, handling.breaks) == (False, False, False)


def test_a_long_upstream_message_is_cut() -> None:
    assert len(ProviderError("internal", "x" * 10_000).message) == 500


def test_statuses_of_the_routing_errors() -> None:
    assert UnknownModel("gpt-0").http_status == 404
    assert ProvidersUnavailable(("a: timeout",), 3.0).http_status == 503
