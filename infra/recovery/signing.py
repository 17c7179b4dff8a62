"""Which key signs an environment's drill reports, and who can check them.

In AWS it is an HMAC key in KMS that the stack makes: drills may sign with it, and whoever may verify (the
exporter, a person with `superagent drill --check`) needs nothing but its name. Locally it is a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.local.layout import layout
from infra.recovery import report
from infra.recovery.context import Context
from infra.recovery.report import Mac

Check = Callable[[bytes, bytes], bool]


def signer(place: Context, given: str | None = None) -> tuple[Mac, str]:
    """How to sign, and the name of the key; `given` is a key in KMS other than the stack's."""
    if key := given or _stacks_key(place):
        return report.kms_mac(_kms(place, given), key)[0], f"kms:{key}"
    path = _file(place)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return report.file_mac(path)[0], f"file:{path.name}"


def checker(place: Context, given: str | None = None) -> Check | None:
    """How to check a report, by the key that is expected and not the one that it names.

    `None` when no key is known here: a stack of before the key, on a machine that signed nothing.
    """
    if key := given or _stacks_key(place):
        return report.kms_mac(_kms(place, given), key)[1]
    path = _file(place)
    return report.file_mac(path)[1] if path.exists() else None


def _stacks_key(place: Context) -> str:
    """The stack's key in KMS; empty when it has none."""
    kind, _, name = place.env.outputs.drill_key.partition(":")
    return name if kind == "kms" else ""


def _file(place: Context) -> Path:
    return layout().secret(place.env.outputs.drill_key.removeprefix("file:"))


def _kms(place: Context, given: str | None) -> Any:
    """The stack's key is in its region; one that a person names is where the bucket is."""
    return place.kms if given else place.client("kms")
