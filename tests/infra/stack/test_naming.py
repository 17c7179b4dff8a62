from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from infra.stack.naming import AUTONAME_SUFFIX, Names, fit

WORDS = st.from_regex(re.compile(r"[a-z][a-z0-9-]{0,80}[a-z0-9]"), fullmatch=True)


@given(WORDS, st.integers(8, 63))
def test_a_name_always_fits_and_ends_well(name: str, limit: int) -> None:
    short = fit(name, limit)
    assert len(short) <= limit
    assert not short.endswith("-")


@given(WORDS, WORDS)
def test_two_long_names_with_the_same_beginning_stay_different(one: str, other: str) -> None:
    beginning = "x" * 40
    if one != other:
        assert fit(beginning + one, 32) != fit(beginning + other, 32)


def test_an_autonamed_target_group_leaves_room_for_pulumis_suffix() -> None:
    assert len(Names("staging").autonamed("a-purpose-that-is-far-too-long")) + AUTONAME_SUFFIX <= 32
