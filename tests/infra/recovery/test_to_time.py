"""The way to a moment: what a killed or second command beside it may not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.local.layout import layout
from infra.recovery import point_in_time, server, to_time, tools

MOMENT = datetime(2026, 11, 23, 2, tzinfo=UTC)


class Enough(Exception):
    """Both servers were seen."""


def test_two_commands_at_once_do_not_remove_each_others_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERAGENT_HOME", str(tmp_path))
    layout().data.mkdir()
    monkeypatch.setattr(point_in_time, "choose_base", lambda *_: SimpleNamespace(source={}))
    monkeypatch.setattr(to_time, "_made_before", lambda *_: None)
    monkeypatch.setattr(server, "administrator", lambda _: None)
    monkeypatch.setattr(server, "reachable", lambda _: False)
    seen: list[Path] = []

    @contextmanager
    def at(place: object, base: object, moment: datetime, folder: Path) -> Iterator[None]:
        folder.mkdir()
        seen.append(folder)
        if len(seen) == 1:
            to_time.materialise(cast(Any, None), moment)
        assert all(one.exists() for one in seen)
        raise Enough
        yield

    monkeypatch.setattr(point_in_time, "server_at", at)
    with pytest.raises(Enough):
        to_time.materialise(cast(Any, None), MOMENT)
    assert len(set(seen)) == 2
    assert not list(layout().data.iterdir())


def test_a_recovery_that_fails_says_what_ended_it_and_not_who_asked_too_early() -> None:
    log = """LOG:  listening on IPv4 address "127.0.0.1", port 47009
FATAL:  the database system is starting up
FATAL:  could not restore file "00000002.history" from archive: command not executable
LOG:  terminating any other active server processes
LOG:  shutting down due to startup process failure
LOG:  database system is shut down
"""
    assert tools.complaint(log) == (
        'FATAL:  could not restore file "00000002.history" from archive: command not executable'
    )
