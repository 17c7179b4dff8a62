"""The report of a soak, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.soak.chaos import Deed
from tests.soak.ledger import Verdict
from tests.soak.traffic import Failure, Seen
from tests.soak.watch import Life

AFTERMATH_SECONDS: Final = 3.0
"""A request that was under way when a part was healed may still fail because of it."""
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Soak:
    """Everything that one run found."""

    command: str
    seconds: float
    seen: Seen
    deeds: Sequence[Deed]
    lives: Sequence[Life]
    ledger: Verdict
    unwell: Sequence[str]
    """Needed parts that were not healthy at the end."""

    @property
    def unexplained(self) -> list[Failure]:
        """Failures while nothing was being killed."""
        kills = [deed for deed in self.deeds if deed.kills]
        return [one for one in self.seen.failures if not any(_during(one, deed) for deed in kills)]

    @property
    def verdicts(self) -> dict[str, bool]:
        """What must hold."""
        return {
            "no usage row lost": not self.ledger.lost,
            "no usage row twice": self.ledger.doubled == 0,
            "no failure but while a part was being killed": not self.unexplained,
            "every release, backup, drill and recovery succeeded": not any(one.trouble for one in self.deeds),
            "every part healthy at the end": not self.unwell,
        }


def render(soak: Soak) -> str:
    """The whole page."""
    seen, answered = soak.seen, sum(soak.seen.answered.values())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(seen.answered.items()))
    lines = [
        "# Soak",
        "",
        f"`{soak.command}`: {soak.seconds / 60:.1f} minutes of mixed load on loopback.",
        "",
        *_table(
            ("What must hold", ""),
            ((what, "yes" if holds else "**no**") for what, holds in soak.verdicts.items()),
        ),
        "",
        *_table(
            ("", ""),
            (
                ("answered as they must be", f"{answered:,} ({kinds})"),
                ("not", f"{len(seen.failures):,} ({100 * len(seen.failures) / max(1, answered):.2f} %)"),
                ("of these while nothing was being killed", str(len(soak.unexplained))),
                ("answers that must have a usage row", f"{soak.ledger.answered:,}"),
                ("rows lost / doubled", f"{len(soak.ledger.lost)} / {soak.ledger.doubled}"),
                ("versions that answered", ", ".join(sorted(seen.builds, key=lambda one: (len(one), one)))),
            ),
        ),
        "",
        "## What happened",
        "",
        *_table(("Deed", "Times", "Longest, s", "Failed requests", "Trouble"), _deeds(soak)),
        "",
        "Failed requests, by reason: " + (_counted(one.why for one in seen.failures) or "none") + ".",
        *(f"- unexplained: {one.kind}: {one.why}" for one in soak.unexplained[:20]),
        *(f"- lost: {count} answered {when}" for when, count in _lost(soak).most_common()),
        *([f"- of the lost, still in a journal: {soak.ledger.waiting}"] if soak.ledger.lost else []),
        "",
        "## Memory and descriptors",
        "",
        "The longest life of each part; growth since its 30th second.",
        "",
        *_table(
            ("Part", "Lives", "Longest, s", "Peak, MB", "Growth, MB", "Descriptors", "Growth"),
            _lives(soak.lives),
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _lost(soak: Soak) -> Counter[str]:
    """What was being done when the answers without a row came."""
    found: Counter[str] = Counter()
    for identity in soak.ledger.lost:
        at = soak.seen.rows[identity]
        names = [deed.what for deed in soak.deeds if deed.begun - 1 <= at <= deed.ended + AFTERMATH_SECONDS]
        before = [deed.what for deed in soak.deeds if deed.ended + AFTERMATH_SECONDS < at]
        found[" and ".join(names) or f"after {before[-1] if before else 'nothing'}"] += 1
    return found


def _during(failure: Failure, deed: Deed) -> bool:
    return deed.begun <= failure.at <= deed.ended + AFTERMATH_SECONDS


def _deeds(soak: Soak) -> Iterable[tuple[str, ...]]:
    groups: dict[str, list[Deed]] = {}
    for deed in soak.deeds:
        name = "release" if deed.what.startswith("release") else deed.what
        groups.setdefault(name, []).append(deed)
    for name, deeds in sorted(groups.items()):
        failed = sum(any(_during(one, deed) for deed in deeds) for one in soak.seen.failures)
        longest = max(deed.ended - deed.begun for deed in deeds)
        trouble = "; ".join(deed.trouble for deed in deeds if deed.trouble)
        yield name, str(len(deeds)), f"{longest:.1f}", str(failed), trouble or "none"


def _lives(lives: Sequence[Life]) -> Iterable[tuple[str, ...]]:
    by_part: dict[str, list[Life]] = {}
    for life in lives:
        by_part.setdefault(life.part, []).append(life)
    for part, found in sorted(by_part.items()):
        one = max(found, key=lambda life: life.seconds)
        yield (
            part, str(len(found)), f"{one.seconds:.0f}", f"{one.peak_bytes / MEGABYTE:.0f}",
            f"{one.growth_bytes / MEGABYTE:+.1f}", str(one.last_files), f"{one.growth_files:+d}",
        )  # fmt: skip


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in Counter(words).most_common())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(row) + " |" for row in cells]
