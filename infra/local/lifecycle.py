"""From nothing to a running system and back: what surrounds `Up.bring`, and `down`."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from infra.local import orphans, postgres, preflight, slots, supervision, system
from infra.local.layout import Layout
from infra.local.progress import Progress
from infra.local.state import change, load
from infra.local.up import Result, Up

STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked `up` for."""

    version: str = "v1"
    """Of the first colour on the first start."""
    asked: dict[str, int] = field(default_factory=dict)
    """Ports by name (`api`, `test`) that must be taken as they are."""


def bring_up(place: Layout, options: Options) -> Result:
    """Check everything, then start everything. Raises `UserError` before anything started.

    When it fails or is interrupted later, what this run started is stopped again, and the data of a first
    start that never reached its end is removed.
    """
    preflight.check_settings(os.environ)
    preflight.check_version(options.version)
    preflight.check_parts(place)
    state = load(place)
    with preflight.exclusive(place):
        runs = supervision.alive(place)
        if not runs:
            orphans.end(place)  # of a killed supervisor: they hold this checkout's ports
        # A running system holds its own ports; only a stopped one may have lost them.
        ports = state.ports if runs else preflight.choose_ports(place, state, options.asked)
        preflight.check_moved(options.asked, ports)
        with _undone_on_failure(place, runs):
            with change(place) as state:
                state.ports = ports
            system.configure(place, ports)
            if not runs:
                supervision.launch(place)
            progress = Progress()
            with progress.shown():
                return _run(Up(place, ports, options.version, progress))


def take_down(place: Layout, purge: bool) -> bool:
    """Stop everything, stores last; with `purge`, remove the state folder. False: nothing ran."""
    if not place.root.exists() and not place.runtime.exists():
        return False
    with preflight.exclusive(place):
        ran = supervision.alive(place)
        stop_everything(place)
        if purge:
            preflight.remove(place, keep_logs=False)
        return ran or purge


def stop_everything(place: Layout) -> None:
    """Stop the parts in an order that lets each finish its work; returns when no process is left."""
    known = list(supervision.processes(place))
    if known:
        service = [name for name in known if name.partition("-")[0] in slots.ADDRESSES]
        stores = [name for name in known if name in ("postgres", "valkey", "aws")]
        rest = [name for name in known if name not in service and name not in stores]
        supervision.signal_stop(rest, place)
        supervision.stop_all(service, place, seconds=slots.STOP_SECONDS + 10)
        supervision.stop_all([*rest, *stores], place, seconds=STOP_SECONDS)
    supervision.shutdown(place)


def _run(work: Up) -> Result:
    async def main() -> Result:
        task = asyncio.current_task()
        assert task is not None
        for name in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
        return await work.bring()

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except BaseExceptionGroup as several:
        raise _first(several) from None


def _first(failure: BaseException) -> BaseException:
    """Parallel work fails as a group; a person is told the first cause."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


@contextmanager
def _undone_on_failure(place: Layout, ran: bool) -> Iterator[None]:
    try:
        yield
    except BaseException as failure:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it behind
        if not ran:
            stop_everything(place)
            if not load(place).complete:
                preflight.remove(place, keep_logs=isinstance(failure, Exception))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise


def reset_postgres(place: Layout) -> None:
    """Replace Postgres' data folder by an empty one, as a drill needs it; the part must be stopped."""
    shutil.rmtree(postgres.data(place), ignore_errors=True)
    postgres.initialise(place)
