"""Every dashboard and the file it is committed as."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dashboards.frame import Board
from dashboards.llm import llm
from dashboards.production import production
from dashboards.recovery import recovery
from dashboards.release import release
from dashboards.slo import slo

FOLDER: Final = Path(__file__).parent / "json"


def boards() -> tuple[Board, ...]:
    """In the order in which the console shows them."""
    return (production(), llm(), release(), recovery(), slo())


def generated() -> dict[Path, str]:
    """Path -> committed text."""
    return {FOLDER / f"{board.uid}.json": board.json() for board in boards()}
