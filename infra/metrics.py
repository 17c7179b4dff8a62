"""Metrics of the tools (the service has its own): written as a Prometheus text file, atomically.

Locally node_exporter's textfile collector reads the folder; in AWS `superagent exporter` serves the same
metrics. Names: docs/architecture.md, "Metrics".
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile


def publish(registry: CollectorRegistry, folder: Path, tool: str) -> Path:
    """Write `registry` to `folder/superagent_<tool>.prom`; the file is replaced whole."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"superagent_{tool}.prom"
    write_to_textfile(str(path), registry)
    return path
