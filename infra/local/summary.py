"""What `up` says at its end: where everything is, and a line to paste."""

from __future__ import annotations

import json
from typing import Any

import click

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
    """Print the table, what is missing, and the line to paste; no line is broken, so all can be copied."""
    rows = {
        "API": api_url(result),
        "Console": console_url(result),
        "Metrics": " ".join(metrics_urls(result)),
        "Prometheus": prometheus_url(result) or "",
        "Runs": ", ".join(f"{version} ({colour})" for colour, version in result.versions.items()),
        "Admin key": result.admin_key or "shown at the first start",
    }
    lines = [f" {name:<10}  {text}" for name, text in rows.items() if text]
    if absent := parts.missing():
        reasons = "; ".join(f"{part.name} ({part.why})" for part in absent)
        lines += ["", f"Missing: {reasons}. Install them: {_install(absent)}."]
    lines += ["", "Try it:", f"  {curl(result)}"]
    if result.admin_key is None:
        lines.append("  (KEY is the admin key of the first start)")
    if asked != "v1" and asked not in result.versions.values():
        lines += ["", f"{asked} is not what runs: `superagent release start --version {asked}`."]
    click.echo("\n".join(lines))


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
