"""The exporter against a receiver that is strict, slow, broken or gone."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from service.telemetry import exporter as module
from service.telemetry.exporter import MOST_WAITING, Exporter, parse_headers
from service.telemetry.logs import JsonLog
from service.telemetry.traces import SERVER, Recording, new_trace_id
from tests.parts import free_port
from tests.service.fakes.otlp_receiver import OtlpReceiver
from tests.service.fakes.serving import serve


class Log(JsonLog):
    def __init__(self) -> None:
        super().__init__("error")
        self.records: list[dict[str, Any]] = []

    def write(self, level: str, event: str, record: dict[str, Any]) -> None:
        self.records.append({"level": level, "event": event, **record})


class Sending:
    def __init__(self, url: str, **options: Any) -> None:
        self.counts: Counter[str] = Counter()
        self.log = Log()
        self.exporter = Exporter(
            url, {"x-team": "a"}, {"service.name": "superagent"}, self.count, self.log,
            every=0.01, **{"backoff": 0.01, **options},
        )  # fmt: skip

    def count(self, what: str, spans: int) -> None:
        self.counts[what] += spans

    def offer(self, traces: int = 1, spans: int = 1) -> None:
        for _ in range(traces):
            self.exporter.offer(recording(spans))

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not ready():
                await asyncio.sleep(0.005)


def recording(spans: int = 1) -> Recording:
    made = Recording(new_trace_id(), "", "GET /x", SERVER, time.monotonic())
    for number in range(spans - 1):
        made.open(f"step {number}", {"number": number}).close()
    made.root.close()
    return made


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[OtlpReceiver, str]]:
    receiver = OtlpReceiver()
    with serve(receiver) as url:
        yield receiver, url


@pytest.fixture
def receiver(served: tuple[OtlpReceiver, str]) -> Iterator[OtlpReceiver]:
    one = served[0]
    one.spans, one.script, one.slow, one.reject = [], [], 0.0, 0
    yield one
    assert one.refusals == []


@pytest_asyncio.fixture
async def sending(served: tuple[OtlpReceiver, str]) -> AsyncIterator[Sending]:
    one = Sending(served[1])
    one.exporter.start()
    yield one
    await one.exporter.close()


async def test_traces_arrive_in_batches_and_are_counted(receiver: OtlpReceiver, sending: Sending) -> None:
    sending.offer(traces=300, spans=4)
    await sending.until(lambda: sending.counts["sent"] == 1200)
    assert len(receiver.spans) == 1200 and sending.exporter.held == 0
    assert receiver.headers[-1]["x-team"] == "a"
    assert {span.resource["service.name"] for span in receiver.spans} == {"superagent"}


async def test_what_the_receiver_rejects_is_counted_and_not_sent_again(
    receiver: OtlpReceiver, sending: Sending
) -> None:
    receiver.reject = 2
    sending.offer(spans=5)
    await sending.until(lambda: sending.exporter.held == 0)
    assert sending.counts == {"sent": 3, "rejected": 2}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_passing_refusal_is_tried_again(
    receiver: OtlpReceiver, sending: Sending, status: int
) -> None:
    receiver.fail_next(status, {}, {"retry-after": "0"})
    sending.offer()
    await sending.until(lambda: sending.counts["sent"] == 1)
    assert [one["up"] for one in sending.log.records] == [False, True]


@pytest.mark.parametrize("status", [301, 400, 401, 404, 500])
async def test_any_other_refusal_is_final(receiver: OtlpReceiver, sending: Sending, status: int) -> None:
    receiver.fail_next(status, {}, {"location": "http://127.0.0.1:1/"})
    sending.offer()
    await sending.until(lambda: sending.counts["dropped"] == 1)
    sending.offer()
    await sending.until(lambda: sending.counts["sent"] == 1)
    assert sending.log.records[0]["reason"] == f"HTTP {status}"


async def test_garbage_for_an_answer_is_no_reason_to_stop(receiver: OtlpReceiver, sending: Sending) -> None:
    receiver.fail_next(200, b"\xff\x00 this is no protobuf")
    sending.offer()
    await sending.until(lambda: sending.counts["sent"] == 1)

    receiver.fail_next(200, b"x" * 200_000)  # nor is a flood
    sending.offer()
    await sending.until(lambda: sending.counts["sent"] == 2)


async def test_a_receiver_that_is_gone_costs_bounded_memory_and_a_bounded_end() -> None:
    one = Sending(f"http://127.0.0.1:{free_port()}", backoff=60.0)
    one.exporter.start()
    one.offer(traces=MOST_WAITING, spans=4)
    assert one.exporter.held == MOST_WAITING
    assert one.counts["dropped"] == 3 * MOST_WAITING
    await one.until(lambda: bool(one.log.records))
    before = time.monotonic()
    await one.exporter.close()
    assert time.monotonic() - before < 10 * module.CLOSE_SECONDS
    assert one.counts == {"dropped": 4 * MOST_WAITING} and one.exporter.held == 0


async def test_after_its_tries_a_batch_makes_room_for_the_next() -> None:
    one = Sending(f"http://127.0.0.1:{free_port()}")
    one.exporter.start()
    one.offer(spans=3)
    await one.until(lambda: one.counts["dropped"] == 3 and one.exporter.held == 0)
    assert [record["reason"] for record in one.log.records] == ["connect"]  # once, not once a try
    await one.exporter.close()


async def test_a_receiver_that_does_not_answer_is_left_and_the_end_waits_no_longer_than_its_bound(
    served: tuple[OtlpReceiver, str], receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.1)
    receiver.slow = 600
    one = Sending(served[1], patience=0.05)
    one.exporter.start()
    one.offer(spans=2)
    await one.until(lambda: bool(one.log.records))
    assert one.log.records[0]["reason"] == "timeout"
    async with asyncio.timeout(20):
        await one.exporter.close()
    assert one.counts["dropped"] == 2 and one.exporter.held == 0


async def test_what_waits_at_the_end_is_still_sent(
    served: tuple[OtlpReceiver, str], receiver: OtlpReceiver
) -> None:
    one = Sending(served[1])
    one.offer(traces=200, spans=3)
    await one.exporter.close()
    assert one.counts == {"sent": 600} and len(receiver.spans) == 600


async def test_a_trace_that_cannot_be_encoded_takes_none_with_it_but_its_batch(
    receiver: OtlpReceiver, sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.background.AGAIN_SECONDS", 0.0)
    broken = recording()
    broken.root.parent = "not hex"
    sending.exporter.offer(broken)
    await sending.until(lambda: sending.counts["dropped"] == 1)
    sending.offer()
    await sending.until(lambda: sending.counts["sent"] == 1)
    assert sending.exporter.held == 0


async def test_what_was_lost_is_not_sent_at_the_end_and_counted_twice(
    receiver: OtlpReceiver, sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: Any) -> Any:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(sending.exporter._client, "request", breaks)
    sending.offer()
    await sending.until(lambda: sending.counts["dropped"] == 1)
    monkeypatch.undo()
    await sending.exporter.close()
    assert sending.counts == {"dropped": 1}
    assert (sending.exporter.held, receiver.spans) == (0, [])


def test_an_endless_trace_keeps_its_first_spans_and_says_how_many_are_missing() -> None:
    made = recording(spans=1000)
    assert len(made.spans) == 256 and made.left_out == 744
    one = Sending("http://127.0.0.1:1")
    one.exporter.offer(made)
    assert one.counts == {"dropped": 744}


def test_headers_are_read_as_opentelemetry_writes_them_and_never_shown() -> None:
    assert parse_headers("Authorization=Bearer a=b, x-team=c,") == {
        "authorization": "Bearer a=b",
        "x-team": "c",
    }
    for text in ("secret", "=secret", "a b=secret", "a=b,x=sec\r\nret"):
        with pytest.raises(ValueError, match=r"^entry \d is not name=value$"):
            parse_headers(text)
