"""`superagent doctor`: what stops `up`, what only makes it less, and no secret in either."""

from __future__ import annotations

import json

import pytest

from infra.errors import UserError
from infra.local import doctor, parts, postgres
from infra.local.layout import Layout
from tests.infra.local.test_bad_input import nothing_started, superagent


def verdicts(found):
    return {one.topic: one.verdict for one in found}


def test_this_machine_can_run_the_system_and_the_answer_starts_nothing(tmp_path):
    done = superagent(tmp_path / "home", "doctor", "--json")
    found = {one["topic"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert {found[name]["verdict"] for name in ("python", "postgres", "valkey", "envoy")} == {"good"}
    assert found["postgres"]["found"].startswith("17")
    nothing_started(tmp_path / "home")


def test_a_missing_required_part_stops_and_an_optional_one_only_lacks(tmp_path, monkeypatch):
    def find(name):
        if name == "valkey":
            raise UserError("valkey-server is missing.", "Run `make up`.")
        return None if parts.BY_NAME[name].optional else parts.Found(tmp_path, "1", "system")

    monkeypatch.setattr(parts, "find", find)
    found = verdicts(doctor._parts())
    assert (found["postgres"], found["valkey"], found["prometheus"]) == ("good", "stops", "lacks")


def test_an_address_that_cannot_be_bound_stops(monkeypatch):
    assert verdicts(doctor._addresses()) == {"loopback": "good"}
    monkeypatch.setattr(doctor.ports, "SLOTS", ("127.0.0.11", "192.0.2.1"))  # RFC 5737: nobody's address
    found = next(iter(doctor._addresses()))
    assert (found.verdict, "192.0.2.1" in found.found, "127.0.0.11" in found.found) == ("stops", True, False)


def test_a_root_that_postgres_refuses_stops_with_the_fix(tmp_path, monkeypatch):
    def refuse(place):
        raise UserError("Postgres refuses root.", "Run as an ordinary user.")

    monkeypatch.setattr(postgres, "identity", refuse)
    found = next(iter(doctor._user(Layout(tmp_path))))
    assert (found.verdict, found.fix) == ("stops", "Run as an ordinary user.")


def test_little_space_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "SPACE_BYTES", 10**18)
    assert verdicts(doctor._machine(Layout(tmp_path)))["disk"] == "lacks"


def test_tools_that_are_not_here_only_lack():
    assert set(verdicts(doctor._tools(lambda name: None)).values()) == {"lacks"}


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_PROFILE"])
def test_credentials_are_seen_and_not_shown(tmp_path, name):
    nowhere = {"AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/none", "AWS_CONFIG_FILE": f"{tmp_path}/none"}
    assert doctor._cloud(nowhere).verdict == "lacks"
    found = doctor._cloud({**nowhere, name: "very-secret"})
    assert (found.verdict, name in found.found, "very-secret" in str(found)) == ("good", True, False)
