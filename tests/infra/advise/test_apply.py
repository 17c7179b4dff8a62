"""Changes under a killed adviser: at whatever call it dies, the next one ends the change, and the world is as
the journal says. The journal is the real one, on moto's DynamoDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.advise.action import Action
from infra.advise.apply import Driver
from infra.advise.change import Change, plan
from infra.advise.effect import Piece
from infra.advise.hands import Hands
from infra.advise.journal import ChangeJournal
from infra.advise.observed import Setting
from infra.advise.settings import PACES
from infra.errors import OperationFailed
from infra.release.fleet import Capacity, Rollout
from infra.release.lease import Lease, LeaseLost
from infra.release.source_prometheus import StoreDown
from infra.stack.outputs import Colour

PACE = replace(PACES["local"], piece=5.0, settle=2.0, timeout=20.0)
SCALE = Action("scale", "blue", 1, 2, "faster")
CACHE = Action("setting", "cache_seconds", 0, 3600, "free")
INHERITED = replace(CACHE, inherited=True)


class Died(BaseException):
    """kill -9: nothing catches it."""


def helpful(world: World) -> float:
    """Each process and the cache make requests faster."""
    return 1.0 / world.size / (2 if world.settings["cache_seconds"] else 1)


@dataclass
class World:
    """A fleet and settings whose requests are as fast as `speed` says for their values."""

    time: float = 1_000.0
    size: int = 1
    settings: dict[str, int] = field(default_factory=lambda: {"cache_seconds": 0})
    source: str = "runtime"
    speed: Callable[[World], float | None] = lambda world: (
        1.0 / world.size / (2 if world.settings["cache_seconds"] else 1)
    )
    errors: float = 0.0
    ready_after: float = 0.0
    refuses: str = ""
    fuse: int = -1
    """Calls until it dies, negative: never."""
    calls: list[str] = field(default_factory=list)
    resized_at: float = 0.0
    store_down: bool = False

    def tick(self, name: str) -> None:
        self.calls.append(name)
        if self.fuse == 0:
            raise Died(name)
        self.fuse -= 1

    # the clock

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    # the fleet

    def capacity(self, colour: Colour) -> Capacity:
        return Capacity(self.size, 1, 2)

    def resize(self, colour: Colour, instances: int) -> None:
        self.tick("resize before")
        if self.refuses:
            raise OperationFailed(self.refuses)
        self.size, self.resized_at = instances, self.time
        self.tick("resize after")

    def rollout(self, colour: Colour) -> Rollout:
        ready = self.size if self.time >= self.resized_at + self.ready_after else 0
        return Rollout(self.size, ready)

    # the settings

    def read(self) -> dict[str, Setting]:
        return {name: Setting(name, value, self.source) for name, value in self.settings.items()}

    def put(self, name: str, value: int) -> None:
        self.tick("put before")
        self.settings[name], self.source = value, "runtime"
        self.tick("put after")

    def remove(self, name: str) -> None:
        self.settings[name], self.source = 0, "environment"

    # the metrics

    def measure(self, action: Action, until: float) -> list[Piece]:
        self.tick("measure")
        if self.store_down:
            raise StoreDown("http://127.0.0.1: it answered 503")
        p95 = self.speed(self)
        return [
            Piece(until - n, 100.0 if p95 else 0.0, self.errors, p95 and p95 * (1 + n / 100))
            for n in range(4)
        ]

    def value(self, action: Action) -> int:
        return self.size if action.kind == "scale" else self.settings[action.target]


class Table:
    """The real journal and lease on moto; `tick` before and after each write."""

    def __init__(self, world: World, client: Any) -> None:
        self.world, self.client = world, client

    def lease(self, owner: str) -> Lease:
        return Lease(self.client, "releases", "local", self.world, 30.0, owner)

    def journal(self) -> ChangeJournal:
        world = self.world

        class Ticking(ChangeJournal):
            def write(self, change: Change, lease: Lease) -> None:
                world.tick(f"write before {change.phase}")
                super().write(change, lease)
                world.tick(f"write after {change.phase}")

        return Ticking(self.client, "releases", "local")

    def driver(self, lease: Lease, journal: ChangeJournal) -> Driver:
        world = self.world
        hands = Hands(world, world, lambda colour: world.rollout(colour).ready)
        return Driver(journal, lease, hands, world.measure, PACE, world, lambda text: None)

    def go(self, action: Action) -> Change:
        """Like `--apply` where nothing waits."""
        lease, journal = self.lease("alice"), self.journal()
        lease.take("advise")
        before = self.world.measure(action, self.world.time)
        change = plan(action, "it is slow", ("see",), "alice", before, self.world.time)
        ended = self.driver(lease, journal).run(change)
        lease.give_back()
        return ended

    def resume(self) -> Change | None:
        """Like the next `--apply`, when the dead one's lease has run out; `None` when nothing waits."""
        self.world.fuse, self.world.time = -1, self.world.time + 60
        lease, journal = self.lease("bob"), self.journal()
        lease.take("advise")
        waiting = journal.unfinished()
        ended = self.driver(lease, journal).run(waiting) if waiting is not None else None
        lease.give_back()
        return ended


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        client.create_table(
            TableName="releases",
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        yield Table(World(), client)


@pytest.mark.parametrize("action", [SCALE, CACHE])
def test_what_helps_is_kept_with_its_effect(table: Table, action: Action) -> None:
    ended = table.go(action)
    assert (ended.phase, table.world.value(action)) == ("kept", action.after)
    assert ended.effect is not None and ended.effect["verdict"] == "better"
    assert ended.effect["p95_after"] < ended.effect["p95_before"]
    assert table.journal().changes() == [ended]


@pytest.mark.parametrize("action", [SCALE, CACHE, INHERITED])
def test_what_hurts_is_taken_back(table: Table, action: Action) -> None:
    table.world.speed = lambda world: 1.0 * world.value(action) + 1
    ended = table.go(action)
    assert (ended.phase, table.world.value(action)) == ("undone", action.before)
    assert "p95" in ended.note
    assert table.world.source == ("environment" if action is INHERITED else "runtime")


def test_more_errors_are_a_reason_too(table: Table) -> None:
    world = table.world
    world.speed = lambda world: 0.1
    original = world.put
    world.put = lambda name, value: (original(name, value), setattr(world, "errors", 30.0))[0]  # type: ignore[method-assign]
    assert table.go(CACHE).phase == "undone"
    assert world.settings["cache_seconds"] == 0


def test_what_costs_money_for_nothing_is_taken_back_and_what_is_free_stays(table: Table) -> None:
    table.world.speed = lambda world: 0.5
    assert table.go(SCALE).phase == "undone"
    assert table.world.size == 1
    assert table.go(CACHE).phase == "kept"


def test_an_effect_that_nobody_can_see_is_taken_back(table: Table) -> None:
    table.world.speed = lambda world: None
    assert table.go(CACHE).phase == "undone"
    table.world.store_down = True
    with pytest.raises(StoreDown):  # nothing is begun without a measure of before
        table.go(CACHE)
    assert table.world.settings["cache_seconds"] == 0


def test_what_never_comes_into_force_is_taken_back(table: Table) -> None:
    table.world.ready_after = 1e9
    ended = table.go(SCALE)
    assert (ended.phase, table.world.size) == ("undone", 1)
    assert "0 of 2 instances run" in ended.note


def test_what_is_refused_is_told(table: Table) -> None:
    table.world.refuses = "blue may have 1 to 1 instances, not 2"
    ended = table.go(SCALE)
    assert ended.phase == "undone" and "not 2" in ended.note


def test_what_somebody_else_changed_meanwhile_is_left_alone(table: Table) -> None:
    world = table.world
    world.fuse = 3  # dies with the plan in the journal
    with pytest.raises(Died):
        table.go(CACHE)
    world.settings["cache_seconds"] = 120
    ended = table.resume()
    assert ended is not None
    assert ended.phase == "undone" and "somebody else" in ended.note
    assert world.settings["cache_seconds"] == 120


@pytest.mark.parametrize("helps", [True, False], ids=["helps", "hurts"])
@pytest.mark.parametrize(
    "action", [SCALE, pytest.param(CACHE, marks=pytest.mark.soak)], ids=["scale", "cache"]
)
def test_killed_at_any_call_the_next_apply_ends_it(table: Table, action: Action, helps: bool) -> None:
    world, deaths, begun = table.world, 0, 0
    while True:
        world.speed = helpful if helps else lambda world: 1.0 * world.value(action) + 1
        world.size, world.settings, world.fuse = 1, {"cache_seconds": 0}, deaths
        try:
            ended = table.go(action)
        except Died:
            table.resume()
            changes = table.journal().changes(100)
            assert all(change.ended for change in changes), deaths
            if len(changes) == begun:  # it died before the journal knew: nothing was done
                assert world.value(action) == action.before
            else:
                assert changes[0].phase == ("kept" if helps else "undone"), deaths
                assert world.value(action) == (action.after if helps else action.before), deaths
            begun = len(changes)
            deaths += 1
            continue
        break
    assert deaths >= 9  # every write, the action and the measurements
    assert ended.phase == ("kept" if helps else "undone")


def test_an_adviser_that_slept_through_its_lease_touches_nothing_more(table: Table) -> None:
    lease, journal = table.lease("alice"), table.journal()
    lease.take("advise")
    change = plan(CACHE, "it is slow", (), "alice", table.world.measure(CACHE, 0), table.world.time)
    journal.write(change, lease)
    table.world.time += 60
    bob = table.lease("bob")
    bob.take("advise")
    with pytest.raises(LeaseLost):
        table.driver(lease, journal).run(change)
    assert table.world.settings["cache_seconds"] == 0
    with pytest.raises(LeaseLost):
        journal.write(change, lease)


def test_a_change_is_read_back_as_it_was_written(table: Table) -> None:
    ended = table.go(CACHE)
    assert Change.from_dict(ended.to_dict()) == ended
