"""What `up` says at its end: where everything is, and a line to paste."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from infra.console import out
from infra.local import parts, slots
from infra.local.up import Result

HELLO = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}


def as_json(result: Result) -> dict[str, Any]:
    """The same for programs; `admin_key` is null after the first start."""
    return {
        "api": api_url(result),
        "metrics": metrics_urls(result),
        "prometheus": prometheus_url(result),
        "console": console_url(result),
        "admin_key": result.admin_key,
        "versions": result.versions,
        "ports": result.ports,
    }


def show(result: Result, asked: str) -> None:
    """Print the table, what is missing, and the line to paste."""
    table = Table(box=None, show_header=False)
    table.add_row("API", api_url(result))
    table.add_row("Metrics", " ".join(metrics_urls(result)))
    if url := prometheus_url(result):
        table.add_row("Prometheus", url)
    table.add_row("Console", console_url(result))
    table.add_row("Runs", ", ".join(f"{version} ({colour})" for colour, version in result.versions.items()))
    table.add_row("Admin key", result.admin_key or "shown at the first start")
    out.print(table)
    if absent := parts.missing():
        names = ", ".join(part.name for part in absent)
        out.print(f"\n[yellow]Missing: {names}; {absent[0].why}.[/yellow] Install: {_install(absent)}")
    print("\nTry it:\n  " + curl(result))  # noqa: T201 - rich would break the line that is to be pasted
    if result.admin_key is None:
        print("  (KEY is the admin key of the first start)")  # noqa: T201
    if asked != "v1" and asked not in result.versions.values():
        print(f"\n{asked} is not what runs: `superagent release start --version {asked}`.")  # noqa: T201


def curl(result: Result) -> str:
    """A request that works when pasted."""
    key = result.admin_key or "$KEY"
    return (
        f"curl {api_url(result)}/v1/chat/completions -H 'Content-Type: application/json' "
        f"-H \"Authorization: Bearer {key}\" -d '{json.dumps(HELLO)}'"
    )


def api_url(result: Result) -> str:
    return f"http://127.0.0.1:{result.ports['api']}"


def prometheus_url(result: Result) -> str | None:
    """Where Prometheus answers, when it could be had."""
    return f"http://127.0.0.1:{result.ports['prometheus']}" if parts.find("prometheus") else None


def console_url(result: Result) -> str:
    """The page with dashboards, alerts and parts (`infra/local/console`)."""
    return f"http://127.0.0.1:{result.ports['console']}"


def metrics_urls(result: Result) -> list[str]:
    """The metrics page of each colour's first slot."""
    return [
        f"http://{slots.ADDRESSES[colour][0]}:{result.ports['service_metrics']}/metrics"
        for colour in result.versions
    ]


def _install(absent: list[parts.Part]) -> str:
    return f"apt install {' '.join(part.package for part in absent)}, or `python -m infra.local.packages`"
