"""May two similar questions have the same answer? Pure, and in doubt no: a refusal costs one call of a model,
a wrong yes gives somebody the answer to another question.

An embedding adds up words. It hardly sees one number, one "not" or who did what to whom, and the longer a
text is the less a single word moves it. What it does not see is compared here, word by word.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final, NamedTuple

from service.cache.semantic_words import FILLER, FOREIGN, MARKS, OPPOSITES, PERSONS

# In more content words than this, the exchange of one no longer brings the similarity below a threshold that
# lets rewording through (docs/semantic-cache.md has the measurement): then all must be shared.
SHORT: Final = 12
# Fewer known English words than one in so many: the lists do not speak this language.
ENGLISH_SHARE: Final = 5

_FENCED: Final = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)
_QUOTED: Final = re.compile(
    r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|(?<!\w)'[^']+'(?!\w)|(?<!\w)‘[^’]+’(?!\w)"
)
_POLITE: Final = re.compile(
    r"^\W*(?:(?:please|kindly|hi|hello|hey)\W+)*(?:(?:can|could|would|will) you\W+)?(?:please\W+)?"
    r"(?:(?:tell|show|give|help|explain to)\W+(?:me|us)\b)?",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*['’]?")
_MIXED: Final = re.compile(r"[^\W\d_]*[a-z][A-Z]|[A-Z]{2}")
_OPENING: Final = "([{\"'“‘«„¿¡"
_CLOSING: Final = ")]},.;:!?…\"'”’»"
_SENTENCE_END: Final = re.compile(r"[.!?:…][\"'”’)]*$")
_SUFFIXES: Final = ("ings", "ing", "ies", "ied", "ed", "es", "s", "e", "y", "ly")
_PREFIXES: Final = (
    "un",
    "in",
    "im",
    "il",
    "ir",
    "dis",
    "non",
    "de",
    "mis",
    "anti",
    "over",
    "under",
    "re",
    "pre",
)
_CONTRACTED: Final = {"can't": ["not"], "won't": ["will", "not"], "shan't": ["shall", "not"]}
_TAILS: Final = frozenset({"s", "d", "m", "re", "ve", "t"})
_LITERAL: Final = "\0"  # stands where a literal was
# These move freely when a question is reworded; all other marks keep their place among the content.
_FREE: Final = frozenset({"question", "tense"})


class Reading(NamedTuple):
    """What of a text is compared."""

    literal: tuple[str, ...]  # code, quoted strings, numbers, identifiers, signs: character by character
    words: tuple[str, ...]
    marks: Counter[str]  # words of a class that must agree
    names: frozenset[str]  # words with a capital where none is due
    persons: tuple[str, ...]
    content: dict[str, str]  # all other words but fillers, by stem
    order: tuple[str, ...]  # stems of the content, and the marks that have a place among them
    english: bool


def difference(one: str, other: str) -> str:
    """Why these two texts may not share an answer; empty when nothing speaks against it."""
    return compare(read(one), read(other))


def compare(a: Reading, b: Reading) -> str:
    """The same, of texts that were read already."""
    if a.literal != b.literal:
        return "literal"
    if a.words == b.words:
        return ""
    if not (a.english and b.english and a.content and b.content):
        return "language"
    # "to" also begins an infinitive, which comes and goes with rewording.
    changed = ((a.marks - b.marks) + (b.marks - a.marks)).keys() - {"to"}
    if changed:
        return MARKS[min(changed)]
    if not (a.names <= set(b.words) and b.names <= set(a.words)):
        return "name"
    if _other_persons(a.persons, b.persons):
        return "person"
    return _content(a, b)


def _other_persons(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """ "Do I owe you?" is not "Do you owe me?"; but who is left out contradicts nobody."""
    if not a or not b:
        return False
    return set(a) != set(b) or (len(set(a)) > 1 and a != b)


def _content(a: Reading, b: Reading) -> str:
    shared = Counter(a.order) & Counter(b.order)
    if not a.content.keys() & b.content.keys():
        return "content"
    if _kept(a.order, shared) != _kept(b.order, shared):
        return "order"
    only_a = [word for stem, word in a.content.items() if stem not in b.content]
    only_b = [word for stem, word in b.content.items() if stem not in a.content]
    if any(_opposite(x, y) for x in only_a for y in only_b):
        return "opposite"
    if max(len(a.content), len(b.content)) > SHORT and Counter(a.order) != Counter(b.order):
        return "length"
    return ""


def _kept(stems: tuple[str, ...], shared: Counter[str]) -> list[str]:
    """Those of the stems that both have, in their order."""
    left = shared.copy()
    found = []
    for stem in stems:
        if left[stem] > 0:
            left[stem] -= 1
            found.append(stem)
    return found


def _opposite(x: str, y: str) -> bool:
    if frozenset((x, y)) in OPPOSITES or frozenset((_stem(x), _stem(y))) in _STEMMED:
        return True
    short, long = sorted((x, y), key=len)
    if any(long == prefix + short for prefix in _PREFIXES):
        return True
    return long.endswith("less") and short.removesuffix("ful") == long.removesuffix("less")


def read(text: str) -> Reading:
    """The reading of one text."""
    text = unicodedata.normalize("NFKC", text)
    literal = _FENCED.findall(text)
    text = _FENCED.sub(f" {_LITERAL} ", text)
    literal += [quoted[1:-1] for quoted in _QUOTED.findall(text)]
    text = _QUOTED.sub(f" {_LITERAL} ", text)
    polite = len(text[: _POLITE.match(text).end()].split())  # type: ignore[union-attr]  # matches nothing, too
    words: list[str] = []
    names: set[str] = set()
    persons: list[str] = []
    begins = True
    for place, token in enumerate(text.split()):
        bare = _bare(token)
        if bare == _LITERAL:
            words.append(_LITERAL)
        elif not _WORD.fullmatch(bare) or _MIXED.match(bare) or (len(bare) == 1 and bare not in "aAiI"):
            if bare or any(sign not in _CLOSING for sign in token):
                literal.append(bare or token)
                words.append(_LITERAL)
        else:
            parts = _parts(bare.lower().replace("’", "'"))
            if bare[0].isupper() and not begins:
                names.update([part for part in parts if part not in FILLER and part not in MARKS])
            if place >= polite:
                persons += [PERSONS[part] for part in parts if part in PERSONS]
            words += parts
        begins = _SENTENCE_END.search(token) is not None
    return _reading(literal, words, names, persons)


def _bare(token: str) -> str:
    """Without the punctuation around it; "5!" keeps its sign, and "-5" and ".5" theirs."""
    token = token.lstrip(_OPENING)
    closing = _CLOSING.replace("!", "") if any(sign.isdigit() for sign in token) else _CLOSING
    return token.rstrip(closing)


def _parts(word: str) -> list[str]:
    """Words of a token: contractions and hyphens taken apart, "n't" as "not"."""
    known = _CONTRACTED.get(word)
    if known is not None:
        return known
    if word.endswith("n't"):
        return [word[:-3], "not"]
    if word.endswith("'ll"):
        return [word[:-3], "will"]
    first, *rest = [part for part in re.split(r"['-]", word) if part]
    return [first, *[part for part in rest if part not in _TAILS]]


def _reading(literal: list[str], words: list[str], names: set[str], persons: list[str]) -> Reading:
    content: dict[str, str] = {}
    order = []
    for word in words:
        kind = MARKS.get(word)
        if kind is not None:
            if kind not in _FREE and word != "to":
                order.append(word)
        elif word == _LITERAL:
            order.append(word)
        elif word not in FILLER:
            stem = _stem(word)
            content.setdefault(stem, word)
            order.append(stem)
    known = sum(1 for word in words if word in MARKS or word in FILLER)
    return Reading(
        tuple(literal),
        tuple(words),
        Counter([word for word in words if word in MARKS]),
        frozenset(names),
        tuple(persons),
        content,
        tuple(order),
        known * ENGLISH_SHARE >= len(words) - len(literal)
        and not any(w in FOREIGN or not w.isascii() for w in words),
    )


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


_STEMMED: Final = frozenset(
    pair for pair in (frozenset(_stem(word) for word in one) for one in OPPOSITES) if len(pair) == 2
)
