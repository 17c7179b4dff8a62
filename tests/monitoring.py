"""Prometheus' tools for tests: found on PATH or unpacked by the local system; else the test is skipped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def tool(name: str) -> Path:
    """Path of `promtool`, `amtool`, `prometheus`, …; skips the test with the reason when there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here: install the distribution's Prometheus packages to run this")
    return Path(found)
