"""Where this checkout keeps its state."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def home() -> Path:
    """The state folder: `SUPERAGENT_HOME`, else `.superagent` in the checkout (docs/architecture.md)."""
    return Path(os.environ.get("SUPERAGENT_HOME") or CHECKOUT / ".superagent").absolute()
