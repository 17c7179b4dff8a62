"""`release status`: one picture of a run, for eyes and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.release import explain, plan
from infra.release.router import Target
from infra.release.sample import Sample
from infra.release.state import Phase, Run
from infra.release.typed import typed
from infra.release.verdict import Judgement
from infra.release.wiring import Tool
from infra.stack.outputs import COLOURS, Colour

BAR = 40
RATE_WINDOW = 10.0
"""Seconds over which request rates are shown."""
FIRST_LOOK: Final = 1.0
"""Seconds between the two looks that a rate needs where no metric store remembers the first."""


@dataclass(frozen=True, slots=True)
class ColourView:
    """One colour now."""

    colour: Colour
    weight: int
    image: str
    targets: list[Target]
    in_flight: int | None
    requests_per_second: float | None
    error_ratio: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """All that `status` shows."""

    environment: str
    run: Run | None
    owner: str
    colours: list[ColourView]
    sticky: bool
    now: float
    next_action: str
    idle_at: float | None
    """When the old colour will be idle at the latest if nothing goes wrong, epoch seconds."""


def take(tool: Tool) -> Picture:
    """Look at everything once."""
    run, live, holder, now = tool.journal.current(), tool.router.read(), tool.lease.holder(), tool.clock.now()
    drain = tool.router.drain_seconds(run.old if run else "blue")
    samples = _samples(tool)
    if any(sample is not None and sample.seconds == 0 for sample in samples.values()):
        tool.clock.sleep(FIRST_LOOK)
        samples = _samples(tool)
    return Picture(
        environment=tool.outputs.environment,
        run=run,
        owner=holder.owner if holder and holder.expires_at > now else "",
        colours=[_colour(tool, colour, live.weights[colour], samples[colour]) for colour in COLOURS],
        sticky=live.sticky,
        now=now,
        next_action=next_action(tool, run, drain),
        idle_at=explain.idle_at(run, tool.profile, drain) if run else None,
    )


def next_action(tool: Tool, run: Run | None, drain: int) -> str:
    """What happens next, or what a person can do."""
    environment = tool.outputs.environment
    if run is None:
        return f"{typed('start', environment)} --version …"
    if run.phase is Phase.PAUSED:
        return typed("resume | promote | abort", environment)
    if run.phase is Phase.SUCCEEDED:
        return f"{typed('rollback', environment)} goes back to the version before"
    if run.ended:
        return f"{typed('start', environment)} --version …"
    return explain.describe(run, plan.effects(run)[0], tool.profile, drain)


def as_json(picture: Picture) -> dict[str, Any]:
    """The picture as plain values; `run` as the journal has it."""
    found = asdict(picture)
    found["run"] = picture.run.to_dict() if picture.run else None
    return found


def render(picture: Picture, judgement: Judgement | None = None) -> RenderableType:
    """The picture for a terminal."""
    run = picture.run
    parts: list[RenderableType] = [_headline(picture), _bar(picture)]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("", "version", "targets", "open", "req/s", "errors"):
        table.add_column(title)
    for one in picture.colours:
        role = "" if run is None or run.ended else ("new" if one.colour == run.new else "old")
        table.add_row(
            Text(f"{one.colour} {role}", style=_STYLE[one.colour]),
            one.image or "-",
            _targets(one.targets),
            "?" if one.in_flight is None else str(one.in_flight),
            "?" if one.requests_per_second is None else f"{one.requests_per_second:.1f}",
            "?" if one.error_ratio is None else f"{one.error_ratio:.2%}",
        )
    parts.append(table)
    for check in judgement.checks if judgement else ():
        parts.append(
            Text(f"  {check.verdict:8} {check.text}", style="red" if check.verdict == "fail" else "dim")
        )
    if run and run.reason:
        parts.append(Text(f"reason   {run.reason}", style="yellow"))
    if picture.idle_at is not None:
        parts.append(
            Text(f"idle     {_old(picture.run)} in at most {max(0.0, picture.idle_at - picture.now):.0f} s")
        )
    parts.append(Text(f"next     {picture.next_action}"))
    return Group(*parts)


_STYLE = {"blue": "bold blue", "green": "bold green"}


def _headline(picture: Picture) -> Text:
    run = picture.run
    if run is None:
        return Text(f"{picture.environment}: no release yet")
    seconds = (run.ended_at if run.ended else picture.now) - run.entered_at
    where = f"{run.phase}" + (f" (step {run.step + 1} of {len(run.steps)})" if not run.ended else "")
    driver = (
        ""
        if run.ended
        else f" · driven by {picture.owner}"
        if picture.owner
        else " · no controller: resume it"
    )
    return Text(
        f"{picture.environment}: {run.kind} of {run.version} · {where} · {max(0.0, seconds):.0f} s{driver}"
    )


def _old(run: Run | None) -> str:
    return run.old if run else "the old colour"


def _bar(picture: Picture) -> Text:
    bar = Text("traffic  ")
    for one in picture.colours:
        bar.append("█" * round(one.weight * BAR / 100), style=_STYLE[one.colour])
    text = "  ".join(f"{one.colour} {one.weight} %" for one in picture.colours)
    bar.append(f"  {text}{'  sticky' if picture.sticky else ''}")
    return bar


def _targets(targets: list[Target]) -> Text:
    text = Text()
    for target in targets:
        style = {"healthy": "green", "unhealthy": "red"}.get(target.state, "dim")
        text.append(f"{target.target_id} {target.state}  ", style=style)
    return text if targets else Text("none", style="dim")


def _samples(tool: Tool) -> dict[Colour, Sample | None]:
    now = tool.clock.now()
    return {colour: tool.source.window(colour, now - RATE_WINDOW, now) for colour in COLOURS}


def _colour(tool: Tool, colour: Colour, weight: int, sample: Sample | None) -> ColourView:
    seconds = RATE_WINDOW if sample is None or sample.seconds is None else sample.seconds
    ratio = sample.errors / sample.requests if sample and sample.requests else None
    return ColourView(
        colour=colour,
        weight=weight,
        image=tool.fleet.image(colour),
        targets=tool.router.targets(colour),
        in_flight=tool.fleet.in_flight(colour),
        requests_per_second=sample.requests / seconds if sample and seconds else None,
        error_ratio=ratio,
    )
