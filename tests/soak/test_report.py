"""The soak's report tells what was lost, and does not excuse what it should not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak.chaos import Deed
from tests.soak.ledger import Verdict
from tests.soak.report import Soak, render
from tests.soak.traffic import Failure, Seen
from tests.soak.watch import Life

DEEDS = (
    Deed("kill envoy", 100.0, 102.0),
    Deed("release start --version v2", 110.0, 150.0),
    Deed("release start --version v3", 160.0, 190.0),
)
LIFE = Life("envoy", 7, 0.0, 600.0, warm_bytes=50_000_000, last_bytes=53_000_000, warm_files=9, last_files=12)


def soak(*failures: Failure) -> Soak:
    seen = Seen(failures=list(failures))
    seen.answered["whole"] = 1_000
    return Soak("it", 600.0, seen, DEEDS, (LIFE,), Verdict(1_000, 1_000, (), 0, 0), ())


def test_a_failure_counts_unless_a_part_was_being_killed():
    while_killed, in_a_release = (
        Failure(101.0, "whole", "status 502"),
        Failure(120.0, "stream", "broken stream"),
    )
    assert all(soak(while_killed).verdicts.values())
    found = soak(while_killed, in_a_release)
    assert found.unexplained == [in_a_release]
    assert "| no failure but while a part was being killed | **no** |" in render(found)


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ({"ledger": Verdict(1_000, 999, ("req_1",), 1, 0)}, "no usage row lost"),
        ({"ledger": Verdict(1_000, 1_001, (), 0, 1)}, "no usage row twice"),
        ({"unwell": ("envoy: gone",)}, "every part healthy at the end"),
        (
            {"deeds": (replace(DEEDS[1], trouble="exit 1"),)},
            "every release, backup, drill and recovery succeeded",
        ),
    ],
)
def test_each_thing_that_must_hold_can_fail(broken, what):
    found = replace(soak(), **broken)
    assert [name for name, holds in found.verdicts.items() if not holds] == [what]


def test_a_lost_row_is_told_with_what_was_done_meanwhile():
    found = replace(soak(), ledger=Verdict(1_000, 999, ("req_1",), 1, 0))
    found.seen.rows["req_1"] = 120.0
    text = render(found)
    assert "lost: 1 answered release start --version v2" in text
    assert "still in a journal: 1" in text


def test_deeds_are_grouped_and_growth_is_told():
    text = render(soak(Failure(101.0, "whole", "status 502")))
    assert "| release | 2 | 40.0 | 0 | none |" in text
    assert "| kill envoy | 1 | 2.0 | 1 | none |" in text
    assert "| envoy | 1 | 600 | 0 | +3.0 | 12 | +3 |" in text
