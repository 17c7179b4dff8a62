"""Lease and journal: one owner, tokens that only grow, nothing written by an owner of the past."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from moto.dynamodb.responses import DynamoHandler

from infra.release.journal import Ask, Journal, RunInProgress, StaleWrite
from infra.release.lease import SKEW, Lease, LeaseHeld, LeaseLost
from infra.release.state import EventKind, Phase
from tests.infra.release.world import TABLE, Operator, World, client


def lease(world: World, owner: str, ttl: float = 10.0) -> Lease:
    return Lease(client("dynamodb"), TABLE, "local", world.clock, ttl, owner)


@pytest.fixture
def one_write_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB applies conditional writes to an item in some order; moto's threads may interleave them."""
    lock, answer = threading.Lock(), DynamoHandler.call_action

    def call_action(handler: DynamoHandler) -> Any:
        with lock:
            return answer(handler)

    monkeypatch.setattr(DynamoHandler, "call_action", call_action)


@pytest.mark.usefixtures("one_write_at_a_time")
def test_only_one_of_many_operators_gets_the_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them have seen that it is free before the first one writes."""
    won: list[str] = []
    refused: list[LeaseHeld] = []
    looked = threading.Barrier(8)
    read = Lease._read
    first = set[str]()

    def together(one: Lease) -> dict[str, Any] | None:
        found = read(one)
        if one.owner not in first:
            first.add(one.owner)
            looked.wait(30)
        return found

    monkeypatch.setattr(Lease, "_read", together)

    def compete(name: str) -> None:
        try:
            lease(world, name).take("release v2")
            won.append(name)
        except LeaseHeld as held:
            refused.append(held)

    threads = [threading.Thread(target=compete, args=(f"operator-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(won) == 1
    assert {held.holder.owner for held in refused} == set(won)


def test_a_lease_that_is_not_kept_can_be_taken_over_with_a_larger_token(world: World) -> None:
    alice, bob = lease(world, "alice"), lease(world, "bob")
    alice.take("release v2")
    world.clock.time += 10.0 + SKEW - 0.1
    with pytest.raises(LeaseHeld, match="alice"):
        bob.take("take over")
    world.clock.time += 0.2
    bob.take("take over")
    assert bob.token > alice.token


def test_keeping_a_lease_prolongs_it(world: World) -> None:
    alice, bob = lease(world, "alice"), lease(world, "bob")
    alice.take("release v2")
    for _ in range(10):
        world.clock.time += 5
        alice.keep()
    with pytest.raises(LeaseHeld):
        bob.take("take over")


def test_an_owner_that_slept_too_long_notices_before_it_acts(world: World) -> None:
    alice, bob = lease(world, "alice"), lease(world, "bob")
    alice.take("release v2")
    world.clock.time += 60
    bob.take("take over")
    with pytest.raises(LeaseLost, match="alice"):
        alice.keep()


def test_a_lease_that_was_given_back_is_free_at_once_and_its_token_stays(world: World) -> None:
    alice, bob = lease(world, "alice"), lease(world, "bob")
    alice.take("release v2")
    spent = alice.token
    alice.give_back()
    assert lease(world, "reader").holder() is None
    bob.take("next")
    assert bob.token > spent


def test_a_broken_lease_is_lost_for_its_owner(world: World) -> None:
    alice, chef = lease(world, "alice"), lease(world, "chef")
    alice.take("release v2")
    before = chef.break_it("alice's machine burnt down")
    assert before is not None
    assert before.owner == "alice"
    world.clock.time += 5
    with pytest.raises(LeaseLost):
        alice.keep()


def test_a_retry_after_a_lost_answer_meets_its_own_write_and_is_fine(world: World) -> None:
    alice = Operator(world)
    alice.lease.take("release v2")
    run = alice.new_run("v2")
    alice.journal.create(run, alice.lease)
    written = replace(run, phase=Phase.MIGRATE)
    alice.journal.write(written, alice.lease, "check done")
    alice.journal._revisions[run.run_id] -= 1  # as if the answer had never arrived
    alice.journal.write(written, alice.lease, "check done")
    assert alice.journal.read(run.run_id) == written


def test_a_stale_owner_cannot_write(world: World) -> None:
    alice, bob = Operator(world, name="alice"), Operator(world, name="bob")
    alice.lease.take("release v2")
    run = alice.new_run("v2")
    alice.journal.create(run, alice.lease)
    world.clock.time += 60
    bob.lease.take("take over")
    bob.journal.adopt(run.run_id, bob.lease)
    with pytest.raises(StaleWrite):
        alice.journal.write(replace(run, phase=Phase.BAKE), alice.lease, "late")
    alice.journal.read(run.run_id)  # even one that reads anew is refused by its old token
    with pytest.raises(StaleWrite):
        alice.journal.write(replace(run, phase=Phase.BAKE), alice.lease, "late")
    found = bob.journal.read(run.run_id)
    assert found is not None
    assert found.phase is Phase.PREFLIGHT


def test_two_runs_at_once_are_refused_and_the_first_is_named(world: World) -> None:
    alice = Operator(world)
    alice.lease.take("release v2")
    alice.journal.create(alice.new_run("v2"), alice.lease)
    with pytest.raises(RunInProgress, match=r"v2.*preflight"):
        alice.journal.create(alice.new_run("v3"), alice.lease)


def test_a_run_cannot_begin_without_the_lease(world: World) -> None:
    alice, bob = Operator(world, name="alice"), Operator(world, name="bob")
    alice.lease.take("release v2")
    world.clock.time += 60
    bob.lease.take("release v3")
    with pytest.raises(StaleWrite):
        alice.journal.create(alice.new_run("v2"), alice.lease)
    assert Operator(world, name="reader").journal.current() is None


def test_history_tells_every_write_in_order_with_its_author(world: World) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    run = alice.new_run("v2")
    alice.journal.create(run, alice.lease)
    for number in range(12):
        alice.journal.write(run, alice.lease, f"line {number}")
    entries = alice.journal.history(run.run_id)
    assert [entry.text for entry in entries[1:]] == [f"line {number}" for number in range(12)]
    assert {entry.by for entry in entries} == {"alice"}


def test_the_newest_runs_come_first(world: World) -> None:
    alice = Operator(world)
    alice.lease.take("releases")
    for version in ("v2", "v3", "v4"):
        world.clock.time += 1
        run = alice.new_run(version, phase=Phase.SUCCEEDED)
        alice.journal.create(run, alice.lease)
    assert [run.version for run in alice.journal.runs(limit=2)] == ["v4", "v3"]


def test_an_ask_is_taken_with_the_write_that_follows_it(world: World) -> None:
    alice = Operator(world)
    alice.lease.take("release v2")
    run = alice.new_run("v2")
    alice.journal.create(run, alice.lease)
    ask = Ask("1", EventKind.ABORT, "odd answers", "bob")
    Journal(client("dynamodb"), TABLE, "local").post(run.run_id, ask)
    assert alice.journal.asked(run.run_id) == ask
    alice.journal.write(run, alice.lease, "abort", taken=ask)
    assert alice.journal.asked(run.run_id) is None


def test_environments_do_not_meet(world: World) -> None:
    lease(world, "alice").take("release v2")
    Lease(client("dynamodb"), TABLE, "staging", world.clock, 10.0, "bob").take("release v2")


@pytest.mark.parametrize("how", ["write", "drop"])
def test_an_ask_that_came_while_another_was_being_taken_stays(world: World, how: str) -> None:
    """An abort typed in the instant in which a pause is taken must not vanish with it."""
    alice = Operator(world)
    alice.lease.take("release v2")
    run = alice.new_run("v2")
    alice.journal.create(run, alice.lease)
    pause, abort = (Ask(kind, kind, "because", "bob") for kind in (EventKind.PAUSE, EventKind.ABORT))
    alice.journal.post(run.run_id, pause)
    alice.journal.post(run.run_id, abort)
    if how == "write":
        alice.journal.write(run, alice.lease, "pause", taken=pause)
    else:
        alice.journal.drop(run.run_id, pause)
    assert alice.journal.asked(run.run_id) == abort
    alice.journal.write(run, alice.lease, "abort", taken=abort)
    assert alice.journal.asked(run.run_id) is None
