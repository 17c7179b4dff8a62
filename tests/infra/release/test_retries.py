"""AWS throttles and stumbles: every call is tried again, and a lost answer never does a thing twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.release.state import Phase
from infra.stack.environment import CLIENT_CONFIG
from tests.infra.release import world as worlds
from tests.infra.release.crash import SERVICES
from tests.infra.release.world import PROFILE, REGION, Operator, World

THROTTLED = {
    "elbv2": (
        400,
        b"<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>slow</Message></Error>"
        b"<RequestId>r</RequestId></ErrorResponse>",
    ),
    "dynamodb": (
        400,
        b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow"}',
    ),
    "ssm": (400, b'{"__type":"ThrottlingException","message":"Rate exceeded"}'),
    "sns": (503, b"<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>"),
}


class Raw:
    """The body of an injected answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Any:
        yield self._body


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Clients with as many attempts as the tool's, but without its pauses between them.

    The tool's mode `adaptive` is `standard` with a client-side rate limit, which would only slow this down.
    """
    session = boto3.Session(aws_access_key_id="t", aws_secret_access_key="t", region_name=REGION)
    make: Any = session.client
    assert CLIENT_CONFIG.retries["mode"] == "adaptive"
    attempts = Config(
        retries={"mode": "standard", "total_max_attempts": CLIENT_CONFIG.retries["total_max_attempts"]}
    )
    made = {service: make(service, config=attempts) for service in SERVICES}
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    return made


def stumble(
    clients: dict[str, Any], world: World, answers: dict[str, tuple[int, bytes]], every: int = 1
) -> dict[str, int]:
    """The first attempt of every so many calls is answered with a fault; how many were."""
    count: dict[str, int] = defaultdict(int)
    seen: set[str] = set()

    def register(service: str) -> None:
        def fault(request: Any, **_: Any) -> AWSResponse | None:
            call = request.headers.get("amz-sdk-invocation-id", b"").decode()
            if call in seen:
                return None
            seen.add(call)
            if len(seen) % every:
                return None
            count[service] += 1
            status, body = answers[service]
            return AWSResponse(request.url, status, {}, Raw(body))

        clients[service].meta.events.register_first("before-send", fault)

    for service in SERVICES:
        register(service)
    world.client = clients.__getitem__
    return count


def test_a_release_gets_through_when_every_first_attempt_is_throttled(
    world: World, clients: dict[str, Any]
) -> None:
    count = stumble(clients, world, THROTTLED)
    run = Operator(world).start("v2")
    assert run.phase is Phase.SUCCEEDED, run.reason
    assert world.weights() == {"blue": 0, "green": 100}
    assert all(count[service] > 3 for service in SERVICES), dict(count)


def test_a_release_gets_through_when_services_answer_500_now_and_then(
    world: World, clients: dict[str, Any]
) -> None:
    count = stumble(clients, world, dict.fromkeys(SERVICES, (500, b"")), every=4)
    assert Operator(world).start("v2").phase is Phase.SUCCEEDED
    assert sum(count.values()) > 20, dict(count)


def away(calls: set[str], until: Callable[[], bool]) -> Callable[..., None]:
    """The API is away for some calls until a condition holds; even its client's retries are used up."""

    def fail(model: Any, **_: Any) -> None:
        if model.name in calls and not until():
            raise EndpointConnectionError(endpoint_url="https://elasticloadbalancing.example")

    return fail


@contextmanager
def gone(service: str, fail: Callable[..., None]) -> Iterator[None]:
    events = worlds.client(service).meta.events
    events.register("before-call", fail, unique_id="away")
    try:
        yield
    finally:
        events.unregister("before-call", unique_id="away")


@pytest.mark.parametrize("service", ["elbv2", "dynamodb", "ssm"])
def test_a_minute_without_an_api_delays_a_release_and_nothing_else(world: World, service: str) -> None:
    began = world.clock.now()
    calls = {"ModifyListener", "DescribeListeners", "TransactWriteItems", "GetItem", "PutParameter"}
    operator = Operator(world, replace(PROFILE, lease=120.0))
    operator.lease.take("release v2")
    run = operator.new_run("v2")
    operator.journal.create(run, operator.lease)
    with gone(service, away(calls, lambda: world.clock.now() > began + 60)):
        ended = operator.drive(run)
    assert ended.phase is Phase.SUCCEEDED
    assert ended.ended_at > began + 60


def test_an_api_that_stays_away_leaves_a_release_that_can_be_resumed(world: World) -> None:
    when = {"back": True}
    world.clock.on_sleep = lambda: when.update(back=world.weights()["green"] != 10)
    with (
        gone("elbv2", away({"ModifyListener"}, lambda: when["back"])),
        pytest.raises(EndpointConnectionError),
    ):
        Operator(world).start("v2")
    world.check_traffic()
    world.clock.time += 60
    assert Operator(world, name="bob").resume().phase is Phase.SUCCEEDED


@pytest.mark.parametrize("code", ["AccessDenied", "ValidationException"])
def test_what_cannot_pass_is_not_tried_again(world: World, code: str) -> None:
    tries: list[str] = []

    def refuse(model: Any, **_: Any) -> None:
        if model.name == "PutParameter":
            tries.append(model.name)
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, model.name)

    with gone("ssm", refuse), pytest.raises(ClientError, match=code):
        Operator(world).start("v2")
    assert len(tries) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"Error": {"Code": "TransactionInProgressException"}},
        {
            "Error": {"Code": "TransactionCanceledException"},
            "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
        },
        {
            "Error": {"Code": "TransactionCanceledException"},
            "CancellationReasons": [{"Code": "ThrottlingError"}, {"Code": "None"}],
        },
    ],
)
def test_a_transaction_that_met_another_one_is_no_takeover(world: World, answer: dict[str, Any]) -> None:
    """An ask that is posted in the same instant, or the same write, still under way after a timeout."""
    tries: list[str] = []

    def meet(model: Any, **_: Any) -> None:
        if model.name == "TransactWriteItems":
            tries.append(model.name)
            if len(tries) % 2 == 0:
                raise ClientError(answer, model.name)  # type: ignore[arg-type]

    with gone("dynamodb", meet):
        assert Operator(world).start("v2").phase is Phase.SUCCEEDED
    assert len(tries) > 10
