"""Alerts that only time brings about, on a running system: a burst must leave the short windows first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.breakable import Broken, broken_system, missing
from tests.e2e.driven import drives
from tests.e2e.pour import completion

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    if lacking := missing():
        pytest.skip(f"{', '.join(lacking)} not here: `python -m infra.local.packages` says why")
    with broken_system(tmp_path_factory.mktemp("time")) as found:
        yield found


@drives("ThroughputLow", "LatencyBudgetBurnSlow", seconds=480)
def test_what_five_quiet_minutes_show(broken: Broken) -> None:
    """Every fourteenth answer was slow: more than the objective allows for a day, less than pages."""
    assert broken.pour([completion(text) for text in broken.fresh(2600)]) == {200: 2600}
    slow = [completion(text) for text in broken.fresh(200, "wait 10.5")]
    assert broken.pour(slow, connections=200) == {200: 200}
