"""Watches the supervisor that watches it: should supervisord be killed, everything is started again.

`python -m infra.local.keeper` runs as a part. Its parent's end without an order to stop is the only thing it
waits for; then it ends what was left without a supervisor, starts a new one (with a new keeper) and goes.
"""

from __future__ import annotations

import os
import select

from infra.errors import UserError
from infra.local import orphans, preflight, supervision, system
from infra.local.layout import Layout, layout
from infra.local.state import load


def main() -> None:
    parent = os.getppid()
    with_supervisor = os.pidfd_open(parent)
    select.select([with_supervisor], [], [])
    try:
        revive(layout())
    except UserError:
        return  # an `up` or `down` holds the lock and does this itself


def revive(place: Layout) -> None:
    """Start the supervisor and what ran under the last one. Raises `UserError` when another command works."""
    with preflight.exclusive(place):
        if supervision.alive(place):
            return
        orphans.end(place)
        supervision.launch(place)
        known = supervision.processes(place)
        supervision.begin([name for name in known if name not in system.idle(load(place))], place)


if __name__ == "__main__":
    main()
