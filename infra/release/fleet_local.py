"""A colour as processes of this machine: slots of the local system, registered as targets by address."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from infra.home import CHECKOUT
from infra.release import source_scrape
from infra.release.fleet import Capacity, Instance, Migration, Rollout, within
from infra.release.image import ImageParameters
from infra.release.sample import IN_FLIGHT
from infra.stack.outputs import Colour
from infra.stack.profiles import profile


class Slot(Protocol):
    """One service process with an address of its own (`infra/local/slots.py`)."""

    @property
    def name(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def metrics_port(self) -> int: ...


class Slots(Protocol):
    """What starts and stops slots."""

    def of(self, colour: Colour) -> Sequence[Slot]: ...

    def start(self, colour: Colour, version: str) -> None:
        """Start every slot of a colour and register it; a slot that runs another version is replaced."""
        ...

    def most(self, colour: Colour) -> int:
        """How many slots the colour can have."""
        ...

    def resize(self, colour: Colour, count: int) -> None:
        """Let a running colour have so many slots, registered; those too many are deregistered first."""
        ...

    def stop(self, colour: Colour) -> None:
        """Deregister and stop them; open requests end first. Returns at once."""
        ...

    def running(self, colour: Colour) -> Sequence[str]:
        """Names of the slots whose process is alive."""
        ...

    def migrate_command(self) -> tuple[list[str], dict[str, str]]:
        """Command and environment of `python -m service migrate` for the local database."""
        ...


@dataclass(slots=True)
class LocalFleet:
    """Fleet of the local system. The version label in the colour's parameter stands for an image."""

    slots: Slots
    images: ImageParameters
    _pages: dict[str, str] = field(default_factory=dict)

    def image(self, colour: Colour) -> str:
        return self.images.read(colour)

    def set_image(self, colour: Colour, image: str) -> None:
        self.images.write(colour, image)

    def find_image(self, image: str) -> str | None:
        return image  # every label runs this checkout's code

    def scale_up(self, colour: Colour, like: Colour) -> None:
        self.slots.start(colour, self.image(colour))

    def rollout(self, colour: Colour) -> Rollout:
        return Rollout(desired=len(self.slots.of(colour)), ready=len(self.slots.running(colour)))

    def capacity(self, colour: Colour) -> Capacity:
        limits = profile("local")
        most = min(int(limits["max_size"]), self.slots.most(colour))
        return Capacity(len(self.slots.of(colour)), int(limits["min_size"]), most)

    def resize(self, colour: Colour, instances: int) -> None:
        within(self.capacity(colour), colour, instances)
        self.slots.resize(colour, instances)

    def scale_down(self, colour: Colour) -> None:
        if self.slots.running(colour):
            self.slots.stop(colour)

    def stopped(self, colour: Colour) -> bool:
        return not self.slots.running(colour)

    def instances(self, colour: Colour) -> list[Instance]:
        alive = set(self.slots.running(colour))
        version = self.image(colour)
        return [
            Instance(slot.name, version, True, f"{slot.host}:{slot.port}")
            for slot in self.slots.of(colour)
            if slot.name in alive
        ]

    def in_flight(self, colour: Colour) -> int | None:
        found, alive = 0.0, set(self.slots.running(colour))
        for slot in self.slots.of(colour):
            if slot.name in alive:
                page = source_scrape.fetch(_metrics_url(slot))
                if page is None:
                    return None
                found += source_scrape.gauge(page, IN_FLIGHT) or 0.0
        return int(found)

    def metrics_urls(self, colour: Colour) -> list[str]:
        """The metrics pages of a colour's slots."""
        return [_metrics_url(slot) for slot in self.slots.of(colour)]

    def migrate(self, colour: Colour, image: str) -> Migration:
        command, environment = self.slots.migrate_command()
        output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        process = subprocess.Popen(
            command, env=environment, cwd=CHECKOUT, stdout=output, stderr=subprocess.STDOUT
        )
        return ProcessMigration(process, output)


def _metrics_url(slot: Slot) -> str:
    return f"http://{slot.host}:{slot.metrics_port}/metrics"


@dataclass(frozen=True, slots=True)
class ProcessMigration:
    """A migration that runs as a child process."""

    process: subprocess.Popen[bytes]
    output: IO[Any]

    def poll(self) -> str | None:
        code = self.process.poll()
        if code is None:
            return None
        self.output.seek(0)
        lines = self.output.read().decode(errors="replace").strip().splitlines()
        return "" if code == 0 else (lines[-1] if lines else f"exit code {code}")
