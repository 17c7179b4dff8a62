"""Slots: addresses, what they are told, what Prometheus is told about them."""

from __future__ import annotations

import json

import pytest

from infra.errors import UserError
from infra.local import slots, summary, system
from infra.local.layout import Layout
from infra.local.state import change, load
from infra.local.status import status
from infra.local.up import Result


@pytest.fixture
def place(tmp_path):
    place = Layout(tmp_path / "home")
    place.make()
    with change(place) as state:
        state.ports = {"service": 8000, "service_metrics": 8001}
    return place


def test_every_slot_has_an_address_of_its_own(place):
    every = [*slots.slots("blue", place), *slots.slots("green", place)]
    assert len({slot.host for slot in every}) == len(every) == 4
    assert {slot.port for slot in every} == {8000}


def test_before_the_first_up_there_are_no_slots(tmp_path):
    with pytest.raises(UserError, match=r"not up.*superagent up"):
        slots.slots("blue", Layout(tmp_path))


def test_a_slot_reads_its_secrets_from_files(place):
    slot = slots.slots("green", place)[1]
    program = slots.program(slot, "v7", place)
    settings = dict(program.environment)
    assert settings["SUPERAGENT_VERSION"] == "v7"
    assert settings["SUPERAGENT_COLOUR"] == "green"
    assert settings["SUPERAGENT_HOST"] == "127.0.0.22"
    assert settings["SUPERAGENT_DATABASE_URL_FILE"] == str(place.secrets / "database_url")
    assert not {name for name in settings if "URL" in name and not name.endswith("_FILE")}


def test_each_slot_keeps_its_own_journal(place):
    folders = {
        slots.program(slot, "v1", place).environment["SUPERAGENT_JOURNAL_DIR"]
        for colour in ("blue", "green")
        for slot in slots.slots(colour, place)
    }
    assert len(folders) == 4


def test_a_slot_has_longer_to_stop_than_its_drain_may_take(place):
    program = slots.program(slots.slots("blue", place)[0], "v1", place)
    assert program.stop_seconds >= int(program.environment["SUPERAGENT_DRAIN_SECONDS"]) + 5


def test_settings_of_the_callers_shell_reach_the_service_by_name_only(place, monkeypatch):
    monkeypatch.setenv("SUPERAGENT_LOG_LEVEL", "debug")
    monkeypatch.setenv("SUPERAGENT_SOMETHING", "else")
    settings = slots.service_environment(place)
    assert settings["SUPERAGENT_LOG_LEVEL"] == "debug"
    assert "SUPERAGENT_SOMETHING" not in settings


def test_prometheus_is_told_the_colours_that_run(place):
    with change(place) as state:
        state.versions = {"green": "v2"}
    slots.write_targets(place)
    found = json.loads((place.targets / "service.json").read_text())
    assert [one["targets"] for one in found] == [["127.0.0.21:8001"], ["127.0.0.22:8001"]]
    assert found[0]["labels"] == {"colour": "green", "slot": "green-1", "environment": "local"}


def test_a_colour_that_was_scaled_in_has_fewer_slots_everywhere(place):
    with change(place) as state:
        state.versions, state.sizes = {"blue": "v1"}, {"blue": 1}
    assert [slot.name for slot in slots.slots("blue", place)] == ["blue-1"]
    assert len(slots.slots("green", place)) == 2
    slots.write_targets(place)
    found = json.loads((place.targets / "service.json").read_text())
    assert [one["targets"] for one in found] == [["127.0.0.11:8001"]]
    assert system.idle(load(place)) == {"blue-2", "green-1", "green-2"}
    assert {"blue-1", "blue-2"} & {one.part for one in status(place)} == {"blue-1"}


def test_nothing_runs_without_a_supervisor(place):
    with change(place) as state:
        state.versions = {"blue": "v1"}
    assert slots.running("blue", place) is None
    assert slots.living("blue", place) == []


def test_the_line_to_paste_carries_the_key_only_when_it_is_new():
    ports = {"api": 8080, "service_metrics": 8001, "prometheus": 9090}
    assert "Bearer sk-new" in summary.curl(Result(ports, {"blue": "v1"}, "sk-new"))
    assert "Bearer $KEY" in summary.curl(Result(ports, {"blue": "v1"}, None))


def test_the_summary_names_what_is_missing_and_why_it_matters(monkeypatch, capsys):
    part = summary.parts.BY_NAME["prometheus"]
    monkeypatch.setattr(summary.parts, "missing", lambda: [part])
    monkeypatch.setattr(summary.parts, "find", lambda name: None)
    summary.show(
        Result({"api": 8080, "console": 8088, "service_metrics": 8001}, {"blue": "v1"}, "sk-x"), "v1"
    )
    said = capsys.readouterr().out
    assert f"Missing: prometheus ({part.why})" in said
    assert "Prometheus  http" not in said
