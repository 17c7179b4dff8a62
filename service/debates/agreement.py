"""How far positions agree, from 0 to 1, by one of three methods (docs/debates.md):

`judge`: a model lists claims and stances. A pair of participants agrees on a claim by 1 when both take the
same stance, by 0.5 when one is silent, by 0 when they are opposed; where both are silent it does not count.
`embedding`: cosine of the texts' vectors, below 0 is 0.
`lexical`: cosine of the counts of content words, each damped to 1 + log(count).

The level is the mean over all pairs.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from operator import mul
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

Method = Literal["judge", "embedding", "lexical"]
Stance = Literal["agree", "disagree", "silent"]
MOST_CLAIMS: Final = 50

_WORD: Final = re.compile(r"\w+")
_SMALL_WORDS: Final = """
a about after all also am an and any are as at be because been before being both but by can could did do
does each for from had has have he her his how i if in into is it its just may me might more most my no
nor not of on one only or other our out over own s same shall she should so some such t than that the
their them then there these they this those through to too under up us very was we were what when where
which while who whom why will with would you your
"""
_STOP: Final = frozenset(_SMALL_WORDS.split())


class Agreement(Struct, kw_only=True):
    """`pairs` maps "p1 p2" to their agreement; `note` says why a better method was not used."""

    method: Method
    level: float
    pairs: dict[str, float]
    claims: list[dict[str, Any]] = []
    note: str = ""

    def between(self, one: str, other: str) -> float:
        """1 with oneself; 0 for a pair that was not measured."""
        if one == other:
            return 1.0
        return self.pairs.get(f"{one} {other}", self.pairs.get(f"{other} {one}", 0.0))


class _Claim(Struct):
    claim: Annotated[str, Meta(max_length=2_000)]
    stances: list[Stance]


class _Claims(Struct):
    claims: Annotated[list[_Claim], Meta(min_length=1, max_length=MOST_CLAIMS)]


_CLAIMS: Final = msgspec.json.Decoder(_Claims)


def by_claims(names: Sequence[str], answer: str) -> Agreement:
    """From the judge's answer. Raises `ValueError` when it cannot be used."""
    try:
        found = _CLAIMS.decode(answer[answer.find("{") : answer.rfind("}") + 1].encode())
    except msgspec.DecodeError as error:
        raise ValueError(f"the judge's answer is not the JSON it was asked for: {error}") from None
    except UnicodeEncodeError:
        raise ValueError("the judge's answer is not Unicode") from None
    for claim in found.claims:
        if len(claim.stances) != len(names):
            raise ValueError(f"the judge gave {len(claim.stances)} stances for {len(names)} participants")
    pairs = {
        f"{names[i]} {names[j]}": _stances([(one.stances[i], one.stances[j]) for one in found.claims])
        for i, j in combinations(range(len(names)), 2)
    }
    claims = [
        {"claim": one.claim, "stances": dict(zip(names, one.stances, strict=True))} for one in found.claims
    ]
    return Agreement(method="judge", level=_mean(pairs), pairs=pairs, claims=claims)


def by_vectors(names: Sequence[str], vectors: Sequence[Sequence[float]], note: str = "") -> Agreement:
    """From one vector a participant. Raises `ValueError` when their number or lengths differ."""
    if len(vectors) != len(names) or len({len(vector) for vector in vectors}) > 1:
        raise ValueError("the embeddings do not fit the positions")
    pairs = {
        f"{names[i]} {names[j]}": _cosine(vectors[i], vectors[j])
        for i, j in combinations(range(len(names)), 2)
    }
    return Agreement(method="embedding", level=_mean(pairs), pairs=pairs, note=note)


def by_words(names: Sequence[str], texts: Sequence[str], note: str = "") -> Agreement:
    """From the texts alone; needs no model and always works."""
    counts = [content_words(text) for text in texts]
    pairs = {
        f"{names[i]} {names[j]}": similarity(counts[i], counts[j])
        for i, j in combinations(range(len(names)), 2)
    }
    return Agreement(method="lexical", level=_mean(pairs), pairs=pairs, note=note)


def content_words(text: str) -> Counter[str]:
    """Words without the frequent small ones, in one case."""
    return Counter([word for word in _WORD.findall(text.casefold()) if word not in _STOP])


def similarity(one: Counter[str], other: Counter[str]) -> float:
    """Cosine of damped counts; two texts without content words are alike when both have none."""
    if not one or not other:
        return 1.0 if not one and not other else 0.0
    first = {word: 1 + math.log(count) for word, count in one.items()}
    second = {word: 1 + math.log(count) for word, count in other.items()}
    dot = sum([weight * second[word] for word, weight in first.items() if word in second])
    return _unit(dot / (math.hypot(*first.values()) * math.hypot(*second.values())))


def centre(agreement: Agreement, names: Sequence[str]) -> str:
    """The participant with whom the others agree most; the first one wins a tie."""
    return max(names, key=lambda name: sum([agreement.between(name, other) for other in names]))


def _stances(pairs: list[tuple[Stance, Stance]]) -> float:
    counted = [pair for pair in pairs if pair != ("silent", "silent")]
    if not counted:
        return 0.0
    points = [1.0 if a == b else 0.5 if "silent" in (a, b) else 0.0 for a, b in counted]
    return sum(points) / len(points)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return _unit(sum(map(mul, one, other)) / lengths) if lengths else 0.0


def _unit(value: float) -> float:
    # Rounded, so that two equal texts agree by 1 and not by 0.9999999.
    return round(min(1.0, max(0.0, value)), 6) if math.isfinite(value) else 0.0


def _mean(pairs: dict[str, float]) -> float:
    return sum(pairs.values()) / len(pairs) if pairs else 0.0
