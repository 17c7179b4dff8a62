"""Ports: preferred, else the next free one, remembered, never stolen."""

from __future__ import annotations

import os
import socket

import pytest

from infra.errors import UserError
from infra.local import ports


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch):
    """Only the ports that a test names are taken, whatever else listens on this machine."""
    taken: set[int] = set()
    monkeypatch.setattr(ports, "free", lambda port, addresses=ports.HERE: port not in taken)
    return taken


def test_every_name_gets_its_preferred_port_on_a_quiet_machine():
    assert ports.choose({}) == {name: port for name, (port, _) in ports.PREFERRED.items()}


def test_a_taken_port_makes_way_for_the_next_one(quiet_machine):
    quiet_machine |= {8080, 8090}
    assert ports.choose({})["api"] == 8100


def test_ports_of_another_checkout_are_left_alone_even_while_it_is_down():
    first = ports.choose({})
    second = ports.choose({}, claimed=first.values())
    assert not set(first.values()) & set(second.values())


def test_what_was_chosen_before_is_chosen_again():
    before = ports.choose({}, claimed=[8080, 5000])
    assert ports.choose(before) == before


def test_an_inner_port_that_something_else_took_moves(quiet_machine):
    before = ports.choose({})
    quiet_machine.add(before["valkey"])
    after = ports.choose(before)
    assert after["valkey"] != before["valkey"]
    assert {**after, "valkey": 0} == {**before, "valkey": 0}


def test_the_api_never_moves_silently_once_people_know_its_port(quiet_machine):
    before = ports.choose({})
    quiet_machine.add(before["api"])
    with pytest.raises(UserError, match=r"Port 8080 for api, which an earlier.*is taken by.*--port N"):
        ports.choose(before)


def test_a_port_that_was_asked_for_is_taken_as_it_is_or_refused(quiet_machine):
    assert ports.choose({"api": 8080}, asked={"api": 9000})["api"] == 9000
    quiet_machine.add(9000)
    with pytest.raises(UserError, match="Port 9000 for api is taken"):
        ports.choose({}, asked={"api": 9000})


def test_no_two_names_share_a_port():
    chosen = ports.choose({}, asked={"api": 5000})
    assert len(set(chosen.values())) == len(chosen)


def test_the_holder_of_a_port_is_named(listener):
    assert ports.holder(listener).endswith(f"(pid {os.getpid()})")


def test_a_listening_port_is_not_free(listener, monkeypatch):
    monkeypatch.undo()
    assert not ports.free(listener)
