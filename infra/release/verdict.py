"""What a comparison of two colours says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    NO_DATA = "no-data"


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; `old` and `new` are in the unit that `name` says."""

    name: str
    verdict: Verdict
    text: str
    old: float | None = None
    new: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """All comparisons of one look: any failure fails it, else a required one without data leaves it open."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        found = {check.verdict for check in self.checks}
        if Verdict.FAIL in found:
            return Verdict.FAIL
        return Verdict.NO_DATA if Verdict.NO_DATA in found or not found else Verdict.PASS

    @property
    def requests(self) -> float:
        """How many the new colour answered."""
        return sum([check.new or 0.0 for check in self.checks if check.name == "requests"])

    @property
    def reason(self) -> str:
        """The first check that decided."""
        for check in self.checks:
            if check.verdict is self.verdict:
                return check.text
        return "nothing was measured"
