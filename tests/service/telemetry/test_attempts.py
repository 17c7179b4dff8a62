"""The record of an attempt: what it says, when it is written, and what never stands in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.providers.base import ProviderError
from service.routing.context import Attempt, CallContext
from service.telemetry.attempts import MOST_PER_SECOND, AttemptLog
from service.telemetry.logs import JsonLog
from service.telemetry.metrics import Metrics
from service.telemetry.routing import RoutingMetrics
from service.telemetry.traces import Trace
from tests.service.routing.scripted import Stage, Time


class Records:
    def __init__(self, folder: Path, level: str = "info") -> None:
        self._file = folder / "log"
        self._out = self._file.open("wb")
        self.time = Time()
        self.log = AttemptLog(JsonLog(level, self._out.fileno()), self.time)

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines()]


def overloaded() -> ProviderError:
    return ProviderError(
        "overloaded", "please keep 'my prompt' secret", status=503, retry_after=7.5, upstream_id="abc-1"
    )


async def failing_over(records: Records) -> CallContext:
    stage = Stage("a", "b", tries_per_target=1)
    stage.router._dispatch._recorder = RoutingMetrics(Metrics(), records.log)
    stage.providers["a"].script = [overloaded()]
    ctx = stage.context()
    ctx.trace = Trace("1" * 32, None)
    assert await stage.ask(ctx) == "b"
    return ctx


async def test_an_attempt_that_failed_is_one_warning_that_joins_request_and_trace(tmp_path: Path) -> None:
    records = Records(tmp_path)
    await failing_over(records)
    (record,) = records.all()
    assert record.pop("ts") and record.pop("ms") >= 0
    assert record == {
        "level": "warning",
        "event": "provider",
        "request_id": "r",
        "trace_id": "1" * 32,
        "provider": "a",
        "model": "m",
        "attempt": 1,
        "outcome": "overloaded",
        "ttft_ms": None,
        "http_status": 503,
        "upstream_request_id": "abc-1",
        "retry_after": 7.5,
    }


async def test_at_debug_the_good_ones_are_told_too(tmp_path: Path) -> None:
    records = Records(tmp_path, "debug")
    await failing_over(records)
    assert [(one["level"], one["provider"], one["outcome"]) for one in records.all()] == [
        ("warning", "a", "overloaded"),
        ("debug", "b", "ok"),
    ]


def test_an_outage_is_a_bounded_number_of_lines_that_say_how_many_are_missing(tmp_path: Path) -> None:
    records = Records(tmp_path)
    ctx = CallContext(request_id="r", deadline=0.0)

    def fail(provider: str, times: int) -> None:
        for _ in range(times):
            records.log.write(ctx, Attempt(provider, "m", "overloaded"), "m", 1, overloaded())

    fail("a", 1000)
    fail("b", 1)
    assert len(records.all()) == MOST_PER_SECOND + 1
    records.time.now += 1
    fail("a", 1)
    assert records.all()[-1]["left_out"] == 1000 - MOST_PER_SECOND
    fail("a", 1)
    assert "left_out" not in records.all()[-1]


@pytest.mark.parametrize("level", ["warning", "error"])
async def test_a_log_level_above_it_leaves_it_out(tmp_path: Path, level: str) -> None:
    records = Records(tmp_path, level)
    await failing_over(records)
    assert len(records.all()) == (1 if level == "warning" else 0)
