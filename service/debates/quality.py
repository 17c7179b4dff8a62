"""How good the end of a debate is, 0 to 1: a weighted sum of named parts, cheap and without a model.

It measures the debate, not the truth: a wrong answer on which all agree scores high (docs/debates.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple


class Evidence(NamedTuple):
    """What the parts look at; shares are 0 to 1, the rest are counts of content words."""

    consensus: float
    spoken: float
    support: float
    answer: Counter[str]
    cited: Counter[str]
    question: Counter[str]


class Part(NamedTuple):
    name: str
    weight: float
    meaning: str
    value: Callable[[Evidence], float]


def share(words: Counter[str], among: Counter[str]) -> float:
    """Part of the different words that also stand in `among`; 1 when there are none."""
    return sum([word in among for word in words]) / len(words) if words else 1.0


PARTS: Final[tuple[Part, ...]] = (
    Part("consensus", 0.30, "Agreement after the last round.", lambda e: e.consensus),
    Part("support", 0.20, "Participants whose last turn agrees with the answer's.", lambda e: e.support),
    Part("participation", 0.20, "Turns that were given, of those that were due.", lambda e: e.spoken),
    Part(
        "grounding",
        0.20,
        "Content words of the answer that cited turns say.",
        lambda e: share(e.answer, e.cited),
    ),
    Part(
        "relevance",
        0.10,
        "Content words of the question that the answer takes up.",
        lambda e: share(e.question, e.answer),
    ),
)


def score(evidence: Evidence) -> dict[str, Any]:
    """The score and each part with its weight, so that nobody has to guess where it comes from."""
    parts = [
        {
            "name": part.name,
            "weight": part.weight,
            "value": round(part.value(evidence), 6),
            "meaning": part.meaning,
        }
        for part in PARTS
    ]
    total = sum([part["weight"] * part["value"] for part in parts])  # type: ignore[operator]
    return {"score": round(min(1.0, total), 6), "components": parts}
