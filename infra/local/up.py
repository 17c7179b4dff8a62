"""`superagent up`: bring the whole system to life, or leave nothing behind.

Everything that does not need each other happens at once: stores, AWS with the Pulumi program, metrics.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.errors import OperationFailed
from infra.home import CHECKOUT, project
from infra.local import health, parts, postgres, slots, stack_file, supervision, system
from infra.local.children import run
from infra.local.layout import Layout
from infra.local.progress import Progress
from infra.local.state import change, load
from infra.stack.outputs import COLOURS, Colour

READY_SECONDS: Final = 60.0
"""Longest wait for one part; a hundred times what it takes on a quiet machine."""
GIVE_UP_SECONDS: Final = 8.0
"""A part whose process ends again and again for this long will not come."""
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Result:
    """What `up` found or made."""

    ports: dict[str, int]
    versions: dict[Colour, str]
    admin_key: str | None
    """Of the first start; it is stored nowhere in clear."""


@dataclass(frozen=True, slots=True)
class Up:
    """One run of `up` on an existing state folder under a running supervisor."""

    place: Layout
    ports: dict[str, int]
    version: str
    progress: Progress

    async def bring(self) -> Result:
        """Start what does not run; returns when a request through the load balancer is answered."""
        programs = system.programs(self.place, self.ports)
        await asyncio.to_thread(supervision.define, programs, self.place)
        await self._start("keeper")
        async with asyncio.TaskGroup() as group:
            group.create_task(
                self._metrics([one.name for one in programs if one.name not in system.REQUIRED])
            )
            cloud = group.create_task(self._cloud())
            service = group.create_task(self._service())
        key, started = service.result()
        versions = await self._traffic(cloud.result(), started)
        with change(self.place) as state:
            state.complete = True
        return Result(self.ports, versions, key)

    async def _metrics(self, names: list[str]) -> None:
        if names:
            with self.progress.step("Prometheus, Alertmanager, exporters"):
                await self._start(*names)
                await asyncio.gather(*map(self._optional, names))

    async def _optional(self, name: str) -> None:
        """A part that cannot be had here is left out with one line."""
        try:
            await self._healthy(name)
        except OperationFailed as failed:
            self.progress.warn(f"{failed.message}; left out: {parts.BY_NAME[name].why}.")
            await asyncio.to_thread(supervision.stop, name, self.place)

    async def _cloud(self) -> Any:
        """AWS, what the Pulumi program makes in it, and the load balancer that follows it."""
        with self.progress.step("AWS API"):
            await self._start("aws")
            await self._healthy("aws")
        await self._provision()
        with self.progress.step("Load balancer"):
            await self._start("envoy", "alb")
            await self._healthy("envoy")
            return await asyncio.to_thread(_stack)

    async def _provision(self) -> None:
        config = {
            **stack_file.keys(),
            "http_port": str(self.ports["api"]),
            "test_port": str(self.ports["test"]),
            "service_port": str(self.ports["service"]),
        }
        wanted = fingerprint(config)
        if self.place.outputs.exists() and load(self.place).provisioned == wanted:
            return
        endpoint = f"http://127.0.0.1:{self.ports['aws']}"
        command = [sys.executable, "-m", "infra.local.provision", "--stack", "local", "--endpoint", endpoint]
        for key, text in {**config, "initial_image": self.version}.items():
            command += ["--config", f"{key}={text}"]
        with self.progress.step("Pulumi program"):
            await run([*command, "--out", str(self.place.outputs)], "Provisioning", supervision.environment())
        with change(self.place) as state:
            state.provisioned = wanted

    async def _service(self) -> tuple[str | None, list[Colour]]:
        """Stores, schema, first key, and the colours that ran before (or the first one)."""
        with self.progress.step("Postgres and Valkey"):
            await self._start("valkey")
            await asyncio.to_thread(postgres.initialise, self.place)
            await self._start("postgres")
            await asyncio.gather(self._healthy("postgres"), self._healthy("valkey"))
            await asyncio.to_thread(postgres.prepare, self.place, self.ports["postgres"])
        with self.progress.step("Database schema and key"):
            command, environment = slots.migrate_command(self.place)
            await run(command, "Migrating the database", environment)
            words = ("create-key", "--name", "admin", "--permission", "admin", "--if-none")
            answer = await run(*self._service_command("Creating the first key", *words))
            key: str | None = json.loads(answer).get("key")
        before = load(self.place).versions
        colours: dict[Colour, str] = {one: before[one] for one in COLOURS if one in before}
        colours = colours or {"blue": self.version}
        for colour, version in colours.items():
            with self.progress.step(f"Service {version} ({colour})"):
                await self._colour(colour, version)
        return key, list(colours)

    async def _traffic(self, stack: Any, started: list[Colour]) -> dict[Colour, str]:
        """The colour that the listener forwards to must run and be registered; nothing else is touched."""
        from infra.local import traffic

        active = [
            colour
            for colour, weight in (await asyncio.to_thread(traffic.weights, stack)).items()
            if weight > 0
        ]

        def targets() -> str:
            return "; ".join(
                trouble
                for colour in active
                for trouble in traffic.unhealthy(stack, colour, slots.slots(colour, self.place))
            )

        with self.progress.step("Healthy through the load balancer"):
            for colour in active:
                if colour not in started:
                    await self._colour(colour, self.version)
                await asyncio.to_thread(traffic.register, stack, colour, slots.slots(colour, self.place))
            await _until(targets, "Targets are unhealthy")
            await self._healthy("api")
        versions = load(self.place).versions
        return {colour: versions[colour] for colour in COLOURS if colour in versions}

    async def _colour(self, colour: Colour, version: str) -> None:
        await asyncio.to_thread(slots.start_colour, colour, version, self.place)
        await asyncio.gather(*(self._healthy(slot.name) for slot in slots.slots(colour, self.place)))

    async def _start(self, *names: str) -> None:
        await asyncio.to_thread(supervision.begin, names, self.place)

    async def _healthy(self, part: str) -> None:
        def look() -> str:
            trouble = health.problem(part, self.place, self.ports)
            return f"{trouble}; {supervision.last_line(self.place, part)}" if trouble else ""

        def hopeless() -> bool:
            found = supervision.processes(self.place).get(part)
            return found is not None and found.state in ("FATAL", "EXITED", "BACKOFF")

        await _until(look, f"{part} does not answer", hopeless)

    def _service_command(self, what: str, *words: str) -> tuple[list[str], str, Mapping[str, str]]:
        command, environment = slots.service_command(*words, place=self.place)
        return command, what, environment


def fingerprint(config: Mapping[str, str]) -> str:
    """Changes when the Pulumi program, its settings or what emulates it changes."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    files = [CHECKOUT / "infra" / "__main__.py", CHECKOUT / "infra" / "local" / "emulated.py"]
    files += sorted(project().glob("Pulumi*.yaml")) + sorted((CHECKOUT / "infra" / "stack").rglob("*.py"))
    for file in files:
        digest.update(_content(file))
    return digest.hexdigest()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _stack() -> Any:
    from infra.stack import environment  # boto3 takes half a second; this runs beside other waits

    return environment.load("local")


async def _until(problem: Callable[[], str], what: str, hopeless: Callable[[], bool] = lambda: False) -> None:
    """Poll until `problem` is empty. Raises `OperationFailed` when time, or hope for too long, is over."""
    loop = asyncio.get_running_loop()
    deadline, hope = loop.time() + READY_SECONDS, loop.time() + GIVE_UP_SECONDS
    while trouble := await asyncio.to_thread(problem):
        if loop.time() > deadline or (loop.time() > hope and await asyncio.to_thread(hopeless)):
            raise OperationFailed(f"{what}: {trouble}")
        await asyncio.sleep(POLL_SECONDS)
