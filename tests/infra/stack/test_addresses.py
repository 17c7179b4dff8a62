from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.stack.addresses import TIERS, slot, subnet

ZONES = [f"eu-central-1{letter}" for letter in "abcdefgh"]


@given(st.integers(16, 20), st.integers(0, 255))
def test_no_two_subnets_overlap_and_all_lie_in_the_block(prefix: int, second: int) -> None:
    block = IPv4Network(f"10.{second}.0.0/{prefix}")
    found = [IPv4Network(subnet(str(block), tier, az)) for tier in TIERS for az in ZONES]
    assert all(one.subnet_of(block) for one in found)
    assert not any(a.overlaps(b) for a, b in combinations(found, 2))
    assert min(one.num_addresses for one in found) >= 32


def test_a_zone_keeps_its_addresses_whatever_the_others_are() -> None:
    assert subnet("10.73.0.0/16", "private", "eu-central-1b") == "10.73.16.0/20"
    assert subnet("10.73.0.0/16", "public", "eu-central-1a") == "10.73.128.0/21"
    assert subnet("10.73.0.0/16", "data", "eu-central-1c") == "10.73.208.0/21"


@pytest.mark.parametrize("name", ["eu-central-1", "a", "eu-central-1z", "eu-central-1a-lax-1a"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        slot(name)
