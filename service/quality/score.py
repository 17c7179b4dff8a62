"""The score of one answer, 0 to 1: a weighted sum of named parts, without a model and without I/O.

It sees form, not truth: cut off, empty, refused, off the subject, going in circles (docs/quality.md).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

import orjson

from service.debates.agreement import content_words
from service.debates.quality import share
from service.providers.base import CanonicalRequest, CanonicalResponse, Text

MOST_CHARACTERS: Final = 8_000
"""Of question and answer each; the rest of a longer text is not looked at, so that a score stays cheap."""
RUN: Final = 3
"""Words of a run whose repetition counts as going in circles."""
FINISHED: Final = {"stop": 1.0, "stop_sequence": 1.0, "tool_calls": 1.0, "length": 0.4}
"""How whole an answer is by the reason it ended; anything else is 0."""
_OPENING: Final = (
    r"(?:(?:i(?:'|’)m |i am )?(?:very )?sorry|i apologi[sz]e|as an ai\b|unfortunately)[\s,.;:]*(?:but )?"
)
_REFUSES: Final = r"(?:can(?:no|'|’)t|am (?:not able|unable)|(?:'|’)m (?:not able|unable)|won(?:'|’)t)\b"
_REFUSAL: Final = re.compile(rf"^\W*(?:{_OPENING}|(?:{_OPENING})?i\s?){_REFUSES}", re.IGNORECASE)
_WORD: Final = re.compile(r"\w+")


class Seen(NamedTuple):
    """What the parts look at."""

    finish: str
    text: str
    wants_json: bool
    question: Counter[str]
    answer: Counter[str]


class Part(NamedTuple):
    name: str
    weight: float
    meaning: str
    value: Callable[[Seen], float]


def whole(seen: Seen) -> float:
    """1 for an answer that ended by itself; 0.4 for one cut at its limit; 0 for JSON that is none."""
    if seen.wants_json:
        try:
            orjson.loads(seen.text)
        except orjson.JSONDecodeError:
            return 0.0
    return FINISHED.get(seen.finish, 0.0)


def responsive(seen: Seen) -> float:
    """0 for an answer that is empty or begins by refusing (English phrases)."""
    return 0.0 if not seen.text.strip() or _REFUSAL.match(seen.text) else 1.0


def relevant(seen: Seen) -> float:
    """Content words of the question that the answer takes up; half of them is enough."""
    return min(1.0, 2 * share(seen.question, seen.answer))


def varied(seen: Seen) -> float:
    """Different runs of three words among all runs: a model that loops says the same ones again."""
    words = [word.lower() for word in _WORD.findall(seen.text)]
    runs = list(zip(*[words[start:] for start in range(RUN)], strict=False))
    return len(set(runs)) / len(runs) if runs else 1.0


PARTS: Final[tuple[Part, ...]] = (
    Part("whole", 0.35, "It ended by itself, and is JSON where JSON was asked for.", whole),
    Part("responsive", 0.25, "It is neither empty nor a refusal.", responsive),
    Part("relevant", 0.20, "It takes up the words of the question.", relevant),
    Part("varied", 0.20, "It does not repeat itself.", varied),
)


def parts(request: CanonicalRequest, response: CanonicalResponse) -> dict[str, float] | None:
    """Every part by name; `None` for an answer that is nothing but tool calls: there is no text to judge."""
    whole_text = "".join([part.text for part in response.parts if isinstance(part, Text)])
    text = whole_text[:MOST_CHARACTERS]
    if response.finish == "tool_calls" and not text.strip():
        return None
    format_ = request.response_format
    seen = Seen(
        finish=response.finish,
        text=text,
        # The beginning of a long document is no document: only what was seen whole is parsed.
        wants_json=format_ is not None and format_.kind != "text" and len(text) == len(whole_text),
        question=content_words(_question(request)),
        answer=content_words(text),
    )
    return {part.name: part.value(seen) for part in PARTS}


def score(request: CanonicalRequest, response: CanonicalResponse) -> float | None:
    """The weighted sum; `None` as for `parts`."""
    found = parts(request, response)
    if found is None:
        return None
    return round(min(1.0, sum([part.weight * found[part.name] for part in PARTS])), 3)


def _question(request: CanonicalRequest) -> str:
    for message in reversed(request.messages):
        if message.role == "user":
            said = " ".join([part.text for part in message.parts if isinstance(part, Text)])
            return said[-MOST_CHARACTERS:]
    return ""
