"""Traces of the running service, as a strict receiver gets them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from service.providers.config import parse_config
from service.routing.router import Router
from service.telemetry import exporter
from service.telemetry.traces import Recording, Trace, Tracer
from tests.parts import free_port
from tests.service.fakes.otlp_receiver import OtlpReceiver, Received
from tests.service.fakes.serving import serve
from tests.service.running import Running, prepare, running

CALLER, CALLERS_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONFIG = msgspec.json.encode(
    {
        "providers": [
            {"name": "shaky", "kind": "simulator", "options": {"fail": "overloaded"}},
            {"name": "steady", "kind": "simulator"},
            {"name": "brittle", "kind": "simulator", "options": {"fail": "die"}},
        ],
        "aliases": {"best": ["shaky/echo", "steady/echo"], "poor": ["shaky/echo"]},
        "routing": {"tries_per_target": 1, "health_interval": 0, "breaker_failures": 1},
    }
)


@pytest.fixture(scope="module")
def receiver() -> Iterator[tuple[OtlpReceiver, str]]:
    one = OtlpReceiver()
    with serve(one) as url:
        yield one, url
    assert one.refusals == []


class Client:
    def __init__(self, service: Running, key: str, receiver: OtlpReceiver) -> None:
        self.service = service
        self.receiver = receiver
        self.http = httpx.AsyncClient(base_url=service.url, headers={"authorization": f"Bearer {key}"})

    async def chat(self, model: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hello big world"}], **more}
        return await self.http.post("/v1/chat/completions", json=body, headers=headers)

    async def spans(self, answer: httpx.Response) -> list[Received]:
        """The request's spans, oldest first."""
        identity = answer.headers["x-trace-id"]
        traces = self.service.service.traces
        assert traces is not None
        traces._wake.set()
        async with asyncio.timeout(20):
            while not self.receiver.of(identity):
                await asyncio.sleep(0.005)
        return sorted(self.receiver.of(identity), key=lambda span: span.start)


@contextlib.asynccontextmanager
async def traced(
    database_url: str, receiver: tuple[OtlpReceiver, str], **settings: str
) -> AsyncIterator[Client]:
    key = prepare(database_url, "chat", "debate")
    given = {"TRACE_URL": receiver[1], "TRACE_SAMPLE": "1", **settings}
    async with running(database_url, Router(parse_config(CONFIG)), **given) as service:
        client = Client(service, key, receiver[0])
        async with client.http:
            yield client


@pytest.mark.component
async def test_every_step_of_a_request_is_a_span(
    database_url: str, valkey_server: str, receiver: tuple[OtlpReceiver, str]
) -> None:
    async with traced(database_url, receiver, REDIS_URL=valkey_server, VERSION="v7", COLOUR="blue") as client:
        answer = await client.chat("best", temperature=0, max_tokens=9)
        root, limits, first, second = await client.spans(answer)
        assert (root.name, root.kind, root.parent, root.failed) == (
            "POST /v1/chat/completions", "SERVER", "", False,
        )  # fmt: skip
        assert root.attributes["http.route"] == "/v1/chat/completions"
        assert root.attributes["http.response.status_code"] == 200
        assert root.attributes["superagent.request_id"] == answer.headers["x-request-id"]
        assert root.resource["service.version"] == "v7" and root.resource["superagent.colour"] == "blue"
        assert (limits.name, limits.kind, limits.parent) == ("limits and cache", "INTERNAL", root.id)
        assert limits.attributes == {"superagent.cache": "miss"}
        assert [one.parent for one in (first, second)] == [root.id, root.id]
        assert (first.name, first.kind, first.failed) == ("chat echo", "CLIENT", True)
        assert first.attributes["error.type"] == "overloaded"
        assert first.attributes["gen_ai.response.finish_reasons"] == ["error"]
        assert second.attributes == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "simulator",
            "gen_ai.request.model": "echo",
            "gen_ai.request.max_tokens": 9,
            "gen_ai.request.temperature": 0.0,
            "gen_ai.response.id": second.attributes["gen_ai.response.id"],
            "gen_ai.response.model": "simulator/echo",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": second.attributes["gen_ai.usage.input_tokens"],
            "gen_ai.usage.output_tokens": second.attributes["gen_ai.usage.output_tokens"],
            "superagent.provider": "steady",
            "superagent.attempt": 2,
            "superagent.failover_from": "shaky",
        }
        assert root.start <= limits.start <= limits.end <= first.start <= first.end <= second.start
        assert second.end <= root.end

        hit = await client.spans(await client.chat("best", temperature=0, max_tokens=9))
        assert [one.name for one in hit] == ["POST /v1/chat/completions", "limits and cache"]
        assert hit[1].attributes == {"superagent.cache": "exact"}

        refused = await client.chat("poor")  # its breaker is open by now
        root = (await client.spans(refused))[0]
        assert refused.status_code == 503 and root.failed
        assert root.attributes["error.type"] == "overloaded"
        assert root.events["circuit_open"] == {"superagent.provider": "shaky"}

        embedded = await client.http.post("/v1/embeddings", json={"model": "steady/echo", "input": "hello"})
        call = (await client.spans(embedded))[-1]
        assert call.attributes["gen_ai.operation.name"] == "embeddings" and call.name == "embeddings echo"

        unknown = await client.http.get("/v1/models/my-secret-text")
        (root,) = await client.spans(unknown)
        assert root.name == "GET /v1/models/{id:path}" and not root.failed  # a client's fault is not ours
        lost = await client.http.get("/some/secret/text")
        assert [one.name for one in await client.spans(lost)] == ["GET"]

        live = await client.http.get("/health/live")
        assert "x-trace-id" not in live.headers
        assert not any(b"secret" in raw or b"hello big world" in raw for raw in client.receiver.raw)


@pytest.mark.component
async def test_a_stream_is_timed_to_its_first_token_and_to_its_end(
    database_url: str, receiver: tuple[OtlpReceiver, str]
) -> None:
    async with traced(database_url, receiver) as client:
        spans = {one.name: one for one in await client.spans(await client.chat("steady/echo", stream=True))}
        call, stream = spans["chat echo"], spans["stream"]
        assert call.attributes["gen_ai.request.stream"] is True
        whole = spans["POST /v1/chat/completions"]  # counted from the try, whose span begins a moment later
        assert 0 <= call.attributes["gen_ai.response.time_to_first_chunk"] <= (whole.end - whole.start) / 1e9
        assert call.attributes["gen_ai.usage.output_tokens"] > 0
        assert "first_token" in call.events and "first_token" in stream.events
        assert stream.start <= call.start and call.end <= stream.end and not stream.failed

        broken = {one.name: one for one in await client.spans(await client.chat("brittle/echo", stream=True))}
        assert broken["chat echo"].failed and broken["stream"].attributes["error.type"] == "cut"
        assert broken["POST /v1/chat/completions"].failed
        assert broken["POST /v1/chat/completions"].attributes["http.response.status_code"] == 200


@pytest.mark.component
async def test_a_callers_trace_goes_on_here_and_its_flag_counts_when_asked_for(
    database_url: str, receiver: tuple[OtlpReceiver, str]
) -> None:
    async with traced(database_url, receiver, TRACE_SAMPLE="0", TRACE_PARENT_BASED="true") as client:
        sampled = await client.chat("steady/echo", {"traceparent": f"00-{CALLER}-{CALLERS_SPAN}-01"})
        assert sampled.headers["x-trace-id"] == CALLER
        root = (await client.spans(sampled))[0]
        assert root.parent == CALLERS_SPAN and root.span.flags & 0x200

        other = "1" * 32
        out = await client.chat("steady/echo", {"traceparent": f"00-{other}-{CALLERS_SPAN}-00"})
        assert out.headers["x-trace-id"] == other
        twice = [("traceparent", f"00-{other}-{CALLERS_SPAN}-01")] * 2
        for headers in ({"traceparent": f"00-{other}-{CALLERS_SPAN}-01-x"}, twice):
            anew = await client.http.get("/v1/models", headers=headers)
            assert anew.headers["x-trace-id"] != other and len(anew.headers["x-trace-id"]) == 32
        await client.spans(
            await client.chat("steady/echo", {"traceparent": f"00-{'2' * 32}-{CALLERS_SPAN}-01"})
        )
        assert client.receiver.of(other) == []


@pytest.mark.component
async def test_a_debate_is_a_trace_of_its_own_with_a_span_a_round(
    database_url: str, receiver: tuple[OtlpReceiver, str]
) -> None:
    async with traced(database_url, receiver, TRACE_SAMPLE="1") as client:
        models = [{"model": "lorem", "provider": "steady", "name": name} for name in ("Ada", "Bob")]
        body = {"topic": "a secret topic", "participants": models, "rounds": 2, "consensus_threshold": 1.0}
        answer = await client.http.post("/v1/debates", json=body)
        assert answer.status_code == 200, answer.text
        identity = answer.json()["id"]

        def run() -> list[Received]:
            return [
                one for one in client.receiver.spans if one.attributes.get("superagent.debate") == identity
            ]

        traces = client.service.service.traces
        assert traces is not None
        async with asyncio.timeout(20):
            while not run():
                traces._wake.set()
                await asyncio.sleep(0.005)
        (root,) = run()
        spans = client.receiver.of(root.trace_id)
        rounds = [one for one in spans if one.name.startswith("round ")]
        assert rounds and {one.parent for one in rounds} == {root.id}
        for one in rounds:
            calls = [other for other in spans if other.parent == one.id]
            assert [call.name for call in calls] == ["chat lorem"] * 2
            assert all(one.start <= call.start and call.end <= one.end for call in calls)
        assert root.attributes["superagent.outcome"] == "completed"
        assert not any(b"secret topic" in raw for raw in client.receiver.raw)


@pytest.mark.component
@pytest.mark.parametrize("trouble", ["gone", "silent", "503", "garbage"])
async def test_a_receiver_in_trouble_costs_no_request_and_no_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(exporter, "MOST_WAITING", 100)
    monkeypatch.setattr(exporter, "BATCH", 20)
    monkeypatch.setattr(exporter, "CLOSE_SECONDS", 0.2)
    broken = OtlpReceiver()
    if trouble == "silent":
        broken.slow = 600
    with serve(broken) as url:
        for _ in range(200):
            if trouble == "503":
                broken.fail_next(503, {})
            elif trouble == "garbage":
                broken.fail_next(200, b"\xff" * 70_000)
        address = f"http://127.0.0.1:{free_port()}" if trouble == "gone" else url
        async with traced(database_url, (broken, address)) as client:
            for _ in range(3):
                answers = await asyncio.gather(*[client.chat("steady/echo") for _ in range(30)])
                assert {answer.status_code for answer in answers} == {200}
                traces = client.service.service.traces
                assert traces is not None and traces.held <= 100
            spans = client.service.service.metrics.trace_spans
        lost = spans.labels("dropped").read() + spans.labels("sent").read()
        assert lost == 3 * 30 * 3 and traces.held == 0


@pytest.mark.component
async def test_without_a_receiver_there_is_no_trace(database_url: str) -> None:
    key = prepare(database_url, "chat")
    async with running(database_url) as service:
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}) as client:
            body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
            headers = {"traceparent": f"00-{CALLER}-{CALLERS_SPAN}-01"}
            answer = await client.post(service.url + "/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200 and "x-trace-id" not in answer.headers
        assert service.service.traces is None


# --- the decision


def headers(flag: str, trace: str = CALLER) -> dict[bytes, bytes]:
    return {b"traceparent": f"00-{trace}-{CALLERS_SPAN}-{flag}".encode()}


def share(tracer: Tracer, sent: dict[bytes, bytes]) -> float:
    return sum(tracer.begin(sent, 0.0).recording is not None for _ in range(4000)) / 4000


@pytest.mark.parametrize("sent", [{}, headers("00"), headers("01"), {b"traceparent": b"nonsense"}])
def test_the_ratio_decides_for_all_alike(sent: dict[bytes, bytes]) -> None:
    for ratio in (0.0, 0.25, 1.0):
        assert abs(share(Tracer(ratio, False, lambda _: None), sent) - ratio) < 0.05


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_valid_parent_decides_when_asked_for(ratio: float) -> None:
    tracer = Tracer(ratio, True, lambda _: None)
    assert share(tracer, headers("01")) == 1 and share(tracer, headers("00")) == 0
    assert share(tracer, {}) == ratio and share(tracer, headers("01", "0" * 32)) == ratio


def test_ids_do_not_repeat() -> None:
    tracer = Tracer(0.0, False, lambda _: None)
    assert len({tracer.begin({}, 0.0).id for _ in range(20_000)}) == 20_000


def test_what_goes_on_to_a_provider_names_the_attempt_and_keeps_the_state_of_other_vendors() -> None:
    made = Trace(CALLER, None, b"congo=1, bad key=2").outgoing(None).decode()
    assert made.startswith(f"traceparent: 00-{CALLER}-") and made.endswith("-00\r\n")
    recording = Recording(CALLER, "", "GET /", 2, 0.0)
    sent = Trace(CALLER, recording, b"congo=1 ,, rojo=2").outgoing(recording.root)
    assert (
        sent == f"traceparent: 00-{CALLER}-{recording.root.id}-01\r\ntracestate: congo=1,rojo=2\r\n".encode()
    )
