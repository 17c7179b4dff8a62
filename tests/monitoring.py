"""Prometheus' programs for tests: the ones of the local system; where they cannot be had, tests skip."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from infra.local import packages, parts

# program -> the part whose package has it
PARTS: Final = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "alertmanager",
    "amtool": "alertmanager",
}


def tool(name: str) -> Path:
    """Path of a program of the monitoring; skips the test with the reason when it cannot be had."""
    packages.fetch_once()
    found = parts.find(PARTS[name])
    path = found.path.with_name(name) if found else None
    if path is None or not path.exists():
        pytest.skip(f"{name} is not here: `python -m infra.local.packages` says why")
    return path
