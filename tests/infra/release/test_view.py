"""What `release status` shows while a release goes on, phase by phase."""

from __future__ import annotations

import io
import re

import pytest
from click.testing import CliRunner
from rich.console import Console

from infra import console
from infra.release import commands, view
from infra.release.sample import Sample
from infra.release.state import Phase
from infra.release.view import Picture
from infra.release.wiring import Tool
from infra.stack.outputs import Colour
from tests.infra.release.test_commands import open_tool
from tests.infra.release.world import PROFILE, Behaviour, Operator, World


def text(picture: Picture) -> str:
    console = Console(width=160, force_terminal=False)
    with console.capture() as captured:
        console.print(view.render(picture))
    return captured.get()


def pictures(world: World, **start: object) -> dict[tuple[Phase, int], Picture]:
    """One look in each phase and step of a release to v2."""
    tool: Tool = open_tool(world, "reader")("local")
    seen: dict[tuple[Phase, int], Picture] = {}

    def look() -> None:
        picture = view.take(tool)
        if picture.run is not None:
            seen.setdefault((picture.run.phase, picture.run.step), picture)

    world.clock.on_sleep = look
    Operator(world).start("v2", **start)
    return seen


def test_a_step_shows_weights_targets_rates_time_and_what_comes_next(world: World) -> None:
    world.open_requests = {"blue": 7, "green": 3}
    world.behaviours["v2"] = Behaviour(errors=0.001)
    shown = text(pictures(world)[Phase.BAKE, 1])
    assert re.search(r"release of v2 · bake \(step 2 of 3\) · \d s · driven by alice", shown)
    assert "█" * 40 in shown
    assert "blue 50 %  green 50 %  sticky" in shown
    blue, green = (
        next(row for row in shown.splitlines() if row.startswith(one)) for one in ("blue", "green")
    )
    assert re.match(r"blue old +v1 +127.0.0.11 healthy +127.0.0.12 healthy +7 +100.0 +0.00%", blue)
    assert re.match(r"green new +v2 +127.0.0.21 healthy +127.0.0.22 healthy +3 +100.0 +0.10%", green)
    assert "next     watch for 2 s: 5xx" in shown


def test_the_bar_is_as_long_as_the_weight(world: World) -> None:
    picture = pictures(world)[Phase.BAKE, 0]
    bar = view._bar(picture)
    lengths = {span.style: span.end - span.start for span in bar.spans}
    assert lengths == {"bold blue": 36, "bold green": 4}


def test_the_end_of_the_old_colour_is_predicted_from_the_first_shift_on(world: World) -> None:
    seen = pictures(world)
    before = Operator(world, name="before").new_run("v3", phase=Phase.SMOKE)
    assert view.explain.idle_at(before, PROFILE, 5) is None
    life, drain = PROFILE.old_life_limit, 5
    for step, bakes in ((0, 3), (1, 2), (2, 1)):
        picture = seen[Phase.BAKE, step]
        assert picture.run is not None
        expected = picture.run.entered_at + bakes * PROFILE.bake + life + PROFILE.propagation + drain
        assert picture.idle_at == expected
        assert "idle     blue in at most" in text(picture)
    ended = Operator(world, name="later").journal.current()
    assert ended is not None
    predicted = seen[Phase.BAKE, 0].idle_at
    assert predicted is not None
    assert ended.ended_at <= predicted


def test_a_paused_release_promises_nothing_and_says_what_to_do(world: World) -> None:
    world.behaviours["v2"] = Behaviour(data=False)
    tool = open_tool(world, "reader")("local")
    run = Operator(world).new_run("v2", phase=Phase.PAUSED, paused_from=Phase.BAKE, reason="lunch")
    assert view.next_action(tool, run, 5) == "superagent release resume | promote | abort"
    assert view.explain.idle_at(run, PROFILE, 5) is None


def test_on_a_terminal_it_follows_the_release_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    run = alice.new_run("v2")
    alice.journal.create(run, alice.lease)
    screen = io.StringIO()
    monkeypatch.setattr(commands, "open_tool", open_tool(world))
    monkeypatch.setattr(console, "out", Console(file=screen, force_terminal=True, width=160))
    monkeypatch.setattr("infra.release.commands.time.sleep", lambda seconds: alice.drive(run) and None)
    done = CliRunner().invoke(commands.release, ["status"])
    assert done.exit_code == 0, done.output
    shown = screen.getvalue()
    assert shown.index("preflight") < shown.index("succeeded")
    assert shown.rindex("green 100 %") > shown.index("blue 100 %")


class Forgetful:
    """A source that knows nothing of the time before the first look, like a mere scrape."""

    interval = 0.25

    def __init__(self, world: World) -> None:
        self._world, self._first = world, dict[Colour, float]()

    def window(self, colour: Colour, since: float, now: float) -> Sample | None:
        seconds = now - self._first.setdefault(colour, now)
        return Sample(requests=20 * seconds, errors=2 * seconds, seconds=seconds)


def test_a_single_look_has_rates_too(world: World) -> None:
    tool = open_tool(world, "reader")("local")
    tool.source = Forgetful(world)
    picture = view.take(tool)
    assert [one.requests_per_second for one in picture.colours] == [pytest.approx(20.0)] * 2
    assert [one.error_ratio for one in picture.colours] == [pytest.approx(0.1)] * 2


def test_no_data_is_a_question_mark_and_not_a_zero(world: World) -> None:
    world.behaviours["v1"] = Behaviour(data=False)
    row = next(
        one for one in text(view.take(open_tool(world)("local"))).splitlines() if one.startswith("blue")
    )
    assert re.search(r"0 +\? +\?", row)
