"""Work in a process of its own that can be killed with SIGKILL at any call to AWS that it makes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
from botocore.config import Config

from infra.recovery.store import Store
from tests.infra.recovery.conftest import Cloud
from tests.infra.recovery.faulty import Proxy
from tests.parts import REGION

PART = 5 << 20
FORK = multiprocessing.get_context("fork")


def through(cloud: Cloud, gate: Proxy, attempts: int = 2) -> Cloud:
    """The same cloud, every call through the proxy, with few and quick retries."""
    config = Config(retries={"mode": "standard", "max_attempts": attempts}, read_timeout=20)

    def client(service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=gate.url, config=config)  # type: ignore[call-overload]

    table = boto3.resource("dynamodb", region_name=REGION, endpoint_url=gate.url, config=config)
    s3 = client("s3")
    return replace(
        cloud,
        store=Store(s3, cloud.store.bucket, part=PART),
        table=table.Table("release"),
        kms=client("kms"),
        s3=s3,
        client=client,
    )


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked process; its exit code, negative for a signal."""

    def body() -> None:
        os.setpgid(0, 0)
        work()
        os._exit(0)

    child = FORK.Process(target=body)
    child.start()
    child.join(60)
    assert child.exitcode is not None, "the child hangs"
    return child.exitcode


def killed_at(gate: Proxy, victim: int, when: str, work: Callable[[], object]) -> int:
    """Run `work` and kill it `before` or `after` call number `victim` took effect; its exit code."""
    gate.calls.clear()
    opened = FORK.Event()

    def body() -> None:
        os.setpgid(0, 0)
        opened.wait()
        work()
        os._exit(0)

    child = FORK.Process(target=body)
    child.start()
    pid = child.pid or 0

    def strike(number: int, call: str) -> None:
        if number == victim:
            os.killpg(pid, signal.SIGKILL)

    gate.decide = (lambda n, c: (strike(n, c), None)[1]) if when == "before" else (lambda n, c: None)
    gate.after = strike if when == "after" else (lambda n, c: None)
    opened.set()
    child.join(60)
    gate.decide, gate.after = (lambda n, c: None), (lambda n, c: None)
    assert child.exitcode is not None, f"call {victim}: the child hangs"
    return child.exitcode
