from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry.trace_context import Parent, parse_parent, parse_state, render_parent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-09", True),  # other flags are nobody's business
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01", True),  # a later version
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", True),
    ],
)
def test_a_valid_parent_is_taken(header: str, sampled: bool) -> None:
    assert parse_parent(header.encode()) == Parent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0x-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-.1",
        f"00-{TRACE}-{SPAN}-01-",  # version 00 is exactly so long
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00_{TRACE}_{SPAN}_01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
    ],
)
def test_what_breaks_a_rule_counts_as_not_sent(header: str) -> None:
    assert parse_parent(header.encode()) is None


@given(st.binary(max_size=80))
def test_no_bytes_break_the_parsers(header: bytes) -> None:
    parse_parent(header)
    kept = parse_state(header)
    assert len(kept) <= 512 and kept.isascii() and kept.isprintable()
    assert parse_state(kept.encode()) == kept


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_rendered_is_read_again(trace: int, span: int, sampled: bool) -> None:
    parent = Parent(f"{trace:032x}", f"{span:016x}", sampled)
    assert parse_parent(render_parent(*parent).encode()) == parent


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
        ("rojo=1 , congo=2", "rojo=1,congo=2"),
        (",rojo=1,, ,congo=2,", "rojo=1,congo=2"),
        ("a= b", "a= b"),  # leading spaces belong to the value
        ("a=b \t", "a=b"),
        ("0@x/y*z_-=!", "0@x/y*z_-=!"),
        ("a=1,a=2,b=3", "a=1,b=3"),
        ("", ""),
        ("Key=1", ""),
        ("=1", ""),
        ("a=", ""),
        ("a", ""),
        ("a=b=c", ""),
        ("_a=1", ""),
        ("a=é", ""),
        ("a=1,b\t=2", ""),
        (f"{'k' * 256}=1", f"{'k' * 256}=1"),
        (f"{'k' * 257}=1", ""),
        (f"k={'v' * 256}", f"k={'v' * 256}"),
        (f"k={'v' * 257}", ""),
        (",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
        (",".join(f"k{n}=1" for n in range(33)), ""),
    ],
)
def test_entries_are_kept_or_all_left_out(header: str, kept: str) -> None:
    assert parse_state(header.encode()) == kept


def test_of_too_much_state_long_entries_go_first_and_then_the_oldest() -> None:
    small = [f"k{number}={'v' * 60}" for number in range(9)]
    header = ",".join([small[0], f"long={'v' * 200}", *small[1:]])
    assert parse_state(header.encode()) == ",".join(small[:8])
