"""Which backups may go (pure): too old, but not the newest verified nor a needed base."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from infra.errors import UserError
from infra.recovery.catalog import Entry
from infra.recovery.manifest import KINDS, Kind

DAYS: Final[dict[Kind, int]] = {"postgres": 30, "redis": 7, "config": 30, "base": 7}
"""Days a backup is kept when nothing else is configured; `base` is the local point-in-time window."""

Reason = Literal["expired", "young", "newest", "newest verified", "base of the window", "locked"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one backup and why."""

    entry: Entry
    remove: bool
    reason: Reason
    until: datetime | None = None
    """For `locked`: when the lock ends, if it ends."""


def decide(
    entries: list[Entry], kind: Kind, now: datetime, days: int, newest_verified: str | None
) -> list[Decision]:
    """One decision a backup, oldest first. `entries` are of one kind, oldest first.

    When nothing is verified, nothing goes: what is there may be all there is.
    """
    cutoff = now - timedelta(days=days)
    covering = max((e.modified for e in entries if e.modified <= cutoff), default=None)
    decisions = []
    for position, entry in enumerate(entries):
        remove, reason = False, _reason(entry, entries, position, cutoff)
        if reason == "expired":
            if newest_verified is None or entry.id == newest_verified:
                reason = "newest verified"
            elif kind == "base" and entry.modified == covering:
                reason = "base of the window"
            else:
                remove = True
        decisions.append(Decision(entry, remove, reason))
    return decisions


def parse_days(given: tuple[str, ...]) -> dict[Kind, int]:
    """`KIND=DAYS` as a person writes it; `UserError` naming what is wrong."""
    days: dict[Kind, int] = {}
    for text in given:
        name, _, number = text.partition("=")
        kind = next((kind for kind in KINDS if kind == name), None)
        if kind is None or not number.isdigit() or int(number) < 1:
            raise UserError(
                f"{text!r} is no retention.",
                f"Write KIND=DAYS, for example postgres=30 ({', '.join(KINDS)}).",
            )
        days[kind] = int(number)
    return days


def _reason(entry: Entry, entries: list[Entry], position: int, cutoff: datetime) -> Reason:
    if entry.modified > cutoff:
        return "young"
    if position == len(entries) - 1:
        return "newest"
    return "expired"
