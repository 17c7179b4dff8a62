"""A colour without traffic is judged by probes; beside real traffic they would only hide how that goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.release.state import Effect, Phase, Run
from infra.release.verdict import Check, Judgement, Verdict
from tests.infra.release.world import PROFILE, Operator, World

PROBED = replace(PROFILE, probe_every=1.0, min_requests=20)


class Counted:
    """Says that so many requests of clients arrived, and every probe."""

    def __init__(self, world: World, clients: int) -> None:
        self.world, self.clients = world, clients

    def judge(self, run: Run) -> Judgement:
        count = self.clients + self.world.probes
        verdict = Verdict.PASS if count >= PROBED.min_requests else Verdict.NO_DATA
        return Judgement((Check("requests", verdict, "so many", None, count),))


@pytest.mark.parametrize(("clients", "probes"), [(0, 30), (19, 30), (20, 0), (5000, 0)])
def test_probes_go_on_while_clients_alone_are_too_few_to_judge_by(
    world: World, clients: int, probes: int
) -> None:
    operator = Operator(world, PROBED)
    run = operator.new_run("v2", phase=Phase.BAKE, weight=0)
    operator.fleet.set_image(run.new, "v2")
    operator.fleet.scale_up(run.new, run.old)
    operator.effects.analysis = Counted(world, clients)
    for _ in range(30):
        operator.effects.poll(run, Effect.BAKE)
        world.clock.time += 1.0
    assert world.probes == probes


def test_a_colour_that_its_clients_leave_is_probed_again_at_the_next_step(world: World) -> None:
    operator = Operator(world, PROBED)
    run = operator.new_run("v2", phase=Phase.BAKE, weight=0)
    operator.fleet.set_image(run.new, "v2")
    operator.fleet.scale_up(run.new, run.old)
    for clients, step, probes in ((100, 0, 0), (0, 1, 1)):
        operator.effects.analysis = Counted(world, clients)
        operator.effects.poll(replace(run, step=step), Effect.BAKE)
        world.clock.time += 1.0
        assert world.probes == probes
