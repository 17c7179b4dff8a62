from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.release.world import World, new_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Blue runs v1 with all traffic, green is empty; AWS is moto in this process."""
    with new_world(tmp_path / "metrics") as made:
        yield made
