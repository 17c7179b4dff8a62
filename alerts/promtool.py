"""Run the rule tests. They name links as `${RUNBOOKS}` and `${DASHBOARDS}`, so that a fork keeps them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from string import Template

from alerts import links
from alerts.files import ROOT


def run_tests(promtool: str, *, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """`promtool test rules` over every file of alerts/tests."""
    with tempfile.TemporaryDirectory() as folder:
        written = [_render(path, Path(folder)) for path in sorted((ROOT / "tests").glob("*.yml"))]
        return subprocess.run(
            [promtool, "test", "rules", *map(str, written)], check=False, text=True, capture_output=capture
        )


def _render(path: Path, folder: Path) -> Path:
    text = Template(path.read_text()).safe_substitute(
        RUNBOOKS=links.RUNBOOKS, DASHBOARDS=links.DASHBOARDS, RULES=str(ROOT / "rules")
    )
    out = folder / path.name
    out.write_text(text)
    return out
