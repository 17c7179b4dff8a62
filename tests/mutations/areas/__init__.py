"""The table, by area: one module each."""

from __future__ import annotations

from typing import Final

from tests.mutations.areas import routing
from tests.mutations.row import Areas

AREAS: Final[Areas] = {
    "routing": routing.ROWS,
}
