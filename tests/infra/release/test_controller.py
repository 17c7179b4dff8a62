"""Whole releases in a small world: what goes well, what goes wrong, and what operators ask for."""

from __future__ import annotations

from infra.release.state import Phase
from tests.infra.release.world import Operator, World


def test_a_good_version_takes_over_and_the_old_colour_goes(world: World) -> None:
    run = Operator(world).start("v2")
    assert run.phase is Phase.SUCCEEDED, run.reason
    assert world.weights() == {"blue": 0, "green": 100}
    assert world.fleet_state["blue"] == {}
    assert {machine.version for machine in world.fleet_state["green"].values()} == {"v2"}
