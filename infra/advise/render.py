"""What a person sees: tables of what was observed, findings with evidence, advice; and the same as JSON."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from infra.advise.change import Change
from infra.advise.effect import Effect
from infra.advise.finding import Bottleneck
from infra.advise.history import Trend
from infra.advise.observed import Observed, Times
from infra.advise.recommend import Recommendation
from infra.advise.words import money, percent, seconds

COLOURS = {"high": "red", "medium": "yellow", "low": "cyan"}


def report(seen: Observed, found: Sequence[Bottleneck], advice: Sequence[Recommendation]) -> RenderableType:
    """The whole answer of `superagent advise`."""
    parts: list[RenderableType] = [
        f"{seen.environment}: the last {_minutes(seen.seconds)}, data of {_minutes(seen.covered)}; "
        f"{seen.requests:.0f} requests, {money(seen.cost_usd)}"
    ]
    parts += [f"[yellow]![/yellow] not read: {escape(one)}" for one in seen.unread]
    parts += [_endpoints(seen), _providers(seen), _processes(seen), _rest(seen)]
    parts.append(Text("Bottlenecks", style="bold"))
    if not found:
        parts.append("  none that the numbers prove")
    for one in found:
        parts.append(f"  [bold]{escape(one.summary)}[/bold]")
        parts += [Text(f"    {line}") for line in one.evidence]
    parts.append(Text("Recommendations", style="bold"))
    if not advice:
        parts.append("  none")
    for number, tip in enumerate(advice, start=1):
        safe = "  [green](--apply does it)[/green]" if tip.action is not None else ""
        parts.append(f"  {number}. [{COLOURS[tip.priority]}]{tip.priority}[/] {escape(tip.title)}{safe}")
        parts.append(Text(f"     because {tip.because}; expected: {tip.expect}"))
        if tip.action is None:
            parts.append(Text(f"     how: {tip.how}"))
    return Group(*parts)


def _endpoints(seen: Observed) -> Table:
    table = _table("Endpoint", "requests", "5xx", "mean", "median", "p95", "min ≥", "max ≤")
    for one in seen.endpoints[:12]:
        table.add_row(
            f"{one.method} {one.path}", f"{one.requests:.0f}", percent(one.errors / max(1.0, one.requests)),
            *_times(one.times),
        )  # fmt: skip
    return table


def _providers(seen: Observed) -> Table:
    table = _table("Provider, agent", "calls", "failed", "mean", "median", "p95", "breaker open", "cost")
    for one in seen.providers:
        mean, median, p95, *_ = _times(one.times)
        table.add_row(
            one.name, f"{one.calls:.0f}", percent(one.failed / max(1.0, one.calls)), mean, median, p95,
            percent(one.breaker_open), money(one.cost_usd),
        )  # fmt: skip
    for agent in seen.agents:
        count = agent.messages
        table.add_row(
            f"agent {agent.name}", f"{count:.0f}", percent(agent.failed / max(1.0, count)),
            seconds(agent.seconds / count if count else None), "–", "–", "–", "–",
        )  # fmt: skip
    return table


def _processes(seen: Observed) -> Table:
    table = _table("Process", "colour", "CPU", "busy", "memory", "in flight", "at most", "debates")
    for one in seen.instances:
        table.add_row(
            one.name, one.colour, f"{one.cpu:.2f}", f"{one.busy:.2f}", f"{one.memory / 2**20:.0f} MiB",
            f"{one.in_flight:.0f}", f"{one.in_flight_most:.0f}", f"{one.debates:.0f}",
        )  # fmt: skip
    return table


def _rest(seen: Observed) -> Text:
    caches = ", ".join(
        f"{name} {percent(one.hit_rate)} of {one.lookups:.0f}" for name, one in seen.caches.items()
    )
    settings = ", ".join(f"{one.name} {one.value}" for one in seen.settings.values())
    lines = [
        f"Machine: CPU {percent(seen.machine_busy)} busy, memory {percent(seen.memory_free)} free at worst",
        f"Caches (hits): {caches or '–'}; saved {money(seen.saved_usd)}; settings: {settings or '–'}",
        f"Waiting for Postgres: {seen.journal_pending:.0f} usage rows at most",
    ]
    if seen.fallbacks:
        lines.append("Fallbacks: " + ", ".join(f"{name} {n:.0f}" for name, n in seen.fallbacks.items()))
    if seen.limited:
        lines.append("Refused: " + ", ".join(f"{name} {n:.0f}" for name, n in seen.limited.items()))
    return Text("\n".join(lines))


def changes(found: Sequence[Change], now: Mapping[str, Effect | None], moved: Trend | None) -> RenderableType:
    """The answer of `superagent advise history`."""
    table = _table("When", "What", "outcome", "p95 before", "after", "change (95 %)", "by chance", "now")
    for one in found:
        effect = one.effect or {}
        change = effect.get("p95_change")
        chance = min(effect.get("chance_if_not_better", 1.0), effect.get("chance_if_not_worse", 1.0))
        still = now.get(one.change_id)
        table.add_row(
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.planned_at)), one.action.text(), one.phase,
            seconds(effect.get("p95_before")), seconds(effect.get("p95_after")),
            _interval(change), percent(chance) if effect else "–", still.verdict if still else "–",
        )  # fmt: skip
    parts: list[RenderableType] = [table if found else "No change was ever made."]
    parts += [Text(f"{one.action.text()}: taken back, {one.note}") for one in found if one.note]
    if moved is not None:
        slope = moved.slope
        bounds = (
            f"{_ms(slope.middle)} an hour ({_ms(slope.low)} to {_ms(slope.high)})"
            if slope is not None
            else "too few pieces with traffic"
        )
        parts.append(f"Trend of p95 over {_minutes(moved.seconds)}: {moved.direction}, {bounds}")
    return Group(*parts)


def as_json(seen: Observed, found: Sequence[Bottleneck], advice: Sequence[Recommendation]) -> dict[str, Any]:
    """The same for machines; infinite bounds are null."""
    observed = _plain(dataclasses.asdict(seen))
    for one, provider in zip(seen.providers, observed["providers"], strict=True):
        del provider["buckets"]
        provider["times"] = _plain(dataclasses.asdict(one.times))
    return {
        "observed": {**observed, "requests": seen.requests, "covered": seen.covered},
        "bottlenecks": [dataclasses.asdict(one) for one in found],
        "recommendations": [dataclasses.asdict(one) for one in advice],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _times(found: Times) -> tuple[str, str, str, str, str]:
    return (
        seconds(found.mean), seconds(found.median), seconds(found.p95),
        seconds(found.fastest), seconds(found.slowest),
    )  # fmt: skip


def _minutes(value: float) -> str:
    return f"{value / 3600:.1f} h" if value >= 5400 else f"{value / 60:.1f} min"


def _ms(value: float) -> str:
    return f"{value * 1000:+.1f} ms"


def _interval(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    return f"{_ms(found['middle'])} ({_ms(found['low'])} to {_ms(found['high'])})"
