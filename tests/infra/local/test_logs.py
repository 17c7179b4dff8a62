"""Logs: the end of each, then what is written, also after a rotation."""

from __future__ import annotations

import pytest

from infra.local.layout import Layout
from infra.local.logs import read


@pytest.fixture
def place(tmp_path):
    place = Layout(tmp_path)
    place.make()
    place.log("aws").write_text("one\ntwo\nthree\n")
    place.log("postgres").write_text("four\n")
    return place


def test_the_last_lines_of_one_part_stand_alone(place):
    assert list(read(["aws"], place, 2, follow=False)) == ["two", "three"]


def test_lines_of_several_parts_carry_the_part(place):
    assert list(read(["aws", "postgres"], place, 1, follow=False)) == ["aws       three", "postgres  four"]


def test_following_shows_what_is_written_and_goes_on_after_a_rotation(place):
    lines = read(["aws"], place, 1, follow=True)
    assert next(lines) == "three"
    with place.log("aws").open("a") as file:
        file.write("next\n")
    assert next(lines) == "next"
    place.log("aws").rename(place.logs / "aws.log.1")
    place.log("aws").write_text("after\n")
    assert next(lines) == "after"
