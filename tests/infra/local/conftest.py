"""Parts that tests of the local system start and kill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.infra.local.alb_parts import Balancer, Target
from tests.infra.local.aws_process import AwsProcess
from tests.parts import free_port


@pytest.fixture(scope="session")
def shared_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsProcess]:
    """One local AWS API for many tests; starting one takes a second or two."""
    process = AwsProcess(tmp_path_factory.mktemp("aws") / "data")
    yield process
    process.kill()


@pytest.fixture
def aws_process(shared_aws: AwsProcess) -> AwsProcess:
    """A running local AWS API with an empty state; the test may kill it and break its folder."""
    shared_aws.empty()
    return shared_aws


@pytest.fixture(scope="session")
def shared_balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """One Envoy and one controller for many tests; their own API, which they keep calling."""
    folder = tmp_path_factory.mktemp("alb")
    one = Balancer(AwsProcess(folder / "data"), folder / "conf")
    yield one
    one.stop()
    one.aws.kill()


@pytest.fixture
def balancer(shared_balancer: Balancer) -> Balancer:
    """A fresh load balancer without targets; the test may kill its API, Envoy and controller."""
    shared_balancer.aws.empty()
    shared_balancer.provision()
    shared_balancer.start()
    return shared_balancer


@pytest.fixture
async def targets() -> AsyncIterator[Callable[[str], Awaitable[Target]]]:
    """Start a target by its label: `blue-1` is 127.0.0.11, `green-2` is 127.0.0.22."""
    started: list[Target] = []

    async def start(label: str) -> Target:
        colour, _, number = label.partition("-")
        host = f"127.0.0.{'1' if colour == 'blue' else '2'}{number}"
        started.append(await Target(label, host, free_port(host)).start())
        return started[-1]

    yield start
    for target in started:
        await target.stop()
