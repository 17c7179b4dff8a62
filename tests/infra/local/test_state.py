"""`state.json`: found again, never half-written, refused when corrupt."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.errors import UserError
from infra.local.layout import Layout
from infra.local.state import State, change, load, save


@pytest.fixture
def place(tmp_path):
    place = Layout(tmp_path)
    place.make()
    return place


def test_an_absent_file_is_an_empty_state(place):
    assert load(place) == State()


def test_what_was_saved_is_found_again(place):
    state = State(ports={"api": 8080}, versions={"blue": "v1"}, provisioned="abc", complete=True)
    save(state, place)
    assert load(place) == state


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("", "no JSON"),
        ("[]", "no JSON object"),
        (json.dumps({"schema": 99}), "schema is 99"),
        (json.dumps({"schema": 1, "colour": "red"}), "keys that this checkout does not know"),
        (json.dumps({"schema": 1, "ports": {"api": "8080"}}), "ports are no numbers"),
        (json.dumps({"schema": 1, "versions": ["v1"]}), "versions are no text"),
    ],
)
def test_a_corrupt_file_is_refused_with_its_name_the_cause_and_a_way_out(place, text, why):
    place.state.write_text(text)
    with pytest.raises(UserError) as refused:
        load(place)
    assert str(place.state) in refused.value.what
    assert why in refused.value.what
    assert "down --purge" in refused.value.fix


def test_changes_at_the_same_time_are_all_kept(place):
    def add(number: int) -> None:
        with change(place) as state:
            state.ports[f"port{number}"] = number

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert load(place).ports == {f"port{number}": number for number in range(24)}


def test_a_change_that_fails_changes_nothing(place):
    save(State(ports={"api": 1}), place)
    with pytest.raises(RuntimeError), change(place) as state:
        state.ports["api"] = 2
        raise RuntimeError
    assert load(place).ports == {"api": 1}
