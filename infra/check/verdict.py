"""The answer to one question of the checklist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.check.facts import Missing

Word = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`evidence` is what was seen, `fix` the action; a pass needs none."""

    check: str
    word: Word
    evidence: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule says; the table adds the name."""

    word: Word
    evidence: str
    fix: str = ""


def good(evidence: str) -> Answer:
    return Answer("pass", evidence)


def bad(evidence: str, fix: str) -> Answer:
    return Answer("fail", evidence, fix)


def unseen(missing: Missing, fix: str) -> Answer:
    """It could not be looked at; `fix` is for when whoever looked had no better one."""
    return Answer("unknown", missing.why, missing.fix or fix)
