"""Kills the controller at its boundary with the world: before or after any call that was recorded."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from infra.release.router import Target
from infra.stack.outputs import Colour
from tests.infra.release.world import Operator, World, client

SERVICES = ("dynamodb", "elbv2", "ssm", "sns")
PORTS = ("fleet", "smoke", "migrations")


class Killed(BaseException):
    """The controller died here; no `except Exception` may survive it."""


@dataclass
class Boundary:
    """Sees every call that leaves the controller; `at` runs before and after each."""

    at: Callable[[str], None] = lambda place: None
    calls: list[str] = field(default_factory=list)
    muted: bool = False

    def before(self, name: str) -> None:
        if not self.muted:
            self.calls.append(name)
            self.at(f"before call {len(self.calls)}, {name}")

    def after(self) -> None:
        if not self.muted:
            self.at(f"after call {len(self.calls)}, {self.calls[-1]}")


def in_a_copy_of_the_world(work: Callable[[], None]) -> str:
    """Do `work` in a fork, on its own copy of the world. The error, or an empty string."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work()
        except BaseException:
            os.write(writer, traceback.format_exc()[-3_000:].encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        error = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return error or ("" if status == 0 else f"status {status}")


class Watched:
    """Any object of the controller's, with the boundary around each of its methods."""

    def __init__(self, inner: Any, name: str, boundary: Boundary) -> None:
        self._inner, self._name, self._boundary = inner, name, boundary

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._inner, attribute)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if attribute in ("image", "set_image"):  # nothing but SSM calls, which are counted themselves
                return found(*args, **kwargs)
            self._boundary.before(f"{self._name}.{attribute}")
            result = found(*args, **kwargs)
            self._boundary.after()
            return result

        return call


@contextmanager
def at_the_boundary(operator: Operator, boundary: Boundary) -> Iterator[None]:
    """Every AWS call and every call of fleet, smoke tests, metric store and migrations passes `boundary`."""
    for port in PORTS:
        setattr(operator.effects, port, Watched(getattr(operator.effects, port), port, boundary))
    targets = operator.router.targets

    def watched_targets(colour: Colour) -> list[Target]:
        boundary.before("DescribeTargetHealth")
        found = targets(colour)
        boundary.after()
        return found

    operator.router.targets = watched_targets  # type: ignore[method-assign]
    operator.effects.analysis.source = Watched(operator.source, "source", boundary)  # type: ignore[attr-defined]

    def before(model: Any, **_: Any) -> None:
        boundary.before(model.name)

    def after(model: Any, **_: Any) -> None:
        boundary.after()

    for service in SERVICES:
        client(service).meta.events.register("before-call", before, unique_id=f"crash-before-{service}")
        client(service).meta.events.register("after-call", after, unique_id=f"crash-after-{service}")
    try:
        yield
    finally:
        for service in SERVICES:
            client(service).meta.events.unregister("before-call", unique_id=f"crash-before-{service}")
            client(service).meta.events.unregister("after-call", unique_id=f"crash-after-{service}")


@contextmanager
def promise_kept(world: World) -> Iterator[None]:
    """Every write to the listener is checked meanwhile: never traffic for nobody."""

    def check(model: Any, **_: Any) -> None:
        if model.name == "ModifyListener":
            world.check_traffic()

    client("elbv2").meta.events.register("after-call", check, unique_id="promise")
    try:
        yield
    finally:
        client("elbv2").meta.events.unregister("after-call", unique_id="promise")
