"""The form for a terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from infra.preview.cost import prices
from infra.preview.diff import KINDS
from infra.preview.markdown import PROPERTIES, short, show
from infra.preview.report import Report

STYLE = {"create": "green", "update": "yellow", "replace": "bold red", "delete": "red"}


def table(report: Report, console: Console) -> None:
    """Print the estate, the changes with their properties, findings and cost."""
    _estate(report, console)
    if report.change is not None:
        _changes(report, console)
    for one in report.findings:
        console.print(f"[red]✗ {one.rule}[/red] {one.message}")
    if not report.findings:
        console.print("[green]✓[/green] no policy finding")
    if report.change is not None and report.change.dangerous:
        names = ", ".join(f"{one.component}/{one.name}" for one in report.change.dangerous)
        console.print(f"[bold red]Data or addresses would be lost: {names}[/bold red]")


def _estate(report: Report, console: Console) -> None:
    estate, before = report.estate, report.base_cost.components if report.base_cost else {}
    grid = Table(title=f"{report.stack}: {len(estate.resources)} resources", title_justify="left")
    for column, side in (("Component", "left"), ("Resources", "right"), ("USD a month", "right")):
        grid.add_column(column, justify="right" if side == "right" else "left")
    counts = Counter(estate.component(urn) for urn in estate.resources if urn in estate.custom)
    for name, count in sorted(counts.items()):
        usd = report.cost.components.get(name, 0.0)
        change = usd - before.get(name, 0.0) if report.base_cost else 0.0
        grid.add_row(
            name, str(count), f"{usd:,.0f}{f' ({change:+,.0f})' if round(change) else ''}" if usd else ""
        )
    grid.add_row("", str(sum(counts.values())), f"{report.cost.total:,.0f}", style="bold")
    console.print(grid)
    console.print(f"[dim]List prices of {prices()['as_of']}, without traffic and requests.[/dim]")
    if report.cost.unpriced:
        console.print(f"[yellow]Without a price: {', '.join(report.cost.unpriced)}[/yellow]")


def _changes(report: Report, console: Console) -> None:
    assert report.change is not None
    counts = ", ".join(f"{report.change.count(kind)} {kind}" for kind in KINDS if report.change.count(kind))
    console.print(f"\nAgainst {report.base}: {counts or 'no change'}")
    for one in report.change.changes:
        warning = " [bold red]data or address lost[/bold red]" if one.dangerous else ""
        reason = f" [dim]{one.reason}[/dim]" if one.reason else ""
        console.print(
            f"[{STYLE[one.kind]}]{one.kind:8}[/{STYLE[one.kind]}] {one.component}/{one.name}"
            f" [dim]{short(one.type)}[/dim]{reason}{warning}"
        )
        for prop in one.properties[:PROPERTIES]:
            console.print(f"           {prop.path}: {show(prop.old)} → {show(prop.new)}", markup=False)
        if len(one.properties) > PROPERTIES:
            console.print(f"           … {len(one.properties) - PROPERTIES} more", style="dim")
