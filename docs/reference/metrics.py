"""Every metric: of the service from its one module, of the tools and exporters from what alerts may read."""

from __future__ import annotations

from typing import Any

import yaml

from alerts.files import ROOT
from docs.reference.markdown import code, page, table
from service.telemetry.metrics import DEFINITIONS


def render() -> str:
    """The page."""
    ours = [
        (code(one.name), one.kind, ", ".join(one.labels) or "–", one.help, _edges(one.buckets))
        for one in DEFINITIONS
    ]
    sections = [
        "## The service\n",
        table(("Name", "Kind", "Labels", "Meaning", "Buckets"), ours),
        "## The tools, and what alerts and dashboards read of exporters\n",
        table(("Job", "Name", "Labels"), _others()),
    ]
    about = "Names are an interface: alerts and dashboards are checked against them."
    return page("Metrics", about, *sections)


def _edges(buckets: tuple[float, ...]) -> str:
    return f"{len(buckets)} from {buckets[0]:g} to {buckets[-1]:g}" if buckets else ""


def _others() -> list[tuple[str, str, str]]:
    known: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "exporters.yml").read_text())
    return [
        (job, code(name), ", ".join([*group["target_labels"], *labels]) or "–")
        for job, group in known.items()
        for name, labels in group["metrics"].items()
    ]
