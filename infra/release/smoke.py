"""Smoke tests and probes: requests through the test listener, where only the idle colour answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from infra.release import scenario, wire
from infra.release.scenario import Scenario
from infra.release.wire import Address, NoAnswer


@dataclass(frozen=True, slots=True)
class SmokeTests:
    """Runs the scenarios one after the other; `api_key` is read when it is needed and never printed."""

    address: Callable[[], Address]
    scenarios: Sequence[Scenario]
    api_key: Callable[[], str]

    def ready(self) -> bool:
        """Whether the idle colour answers through the test listener; its data plane takes a moment."""
        try:
            return wire.send(self.address(), "GET", "/health/ready", {}, b"", 2.0).status == 200
        except NoAnswer:
            return False

    def check(self, version: str) -> str | None:
        """The first scenario that is wrong and what is wrong with it; `None` when all are right."""
        variables = {"version": version}
        for one in self.scenarios:
            try:
                found = scenario.problem(one, self._send(one, variables), variables)
            except NoAnswer as failed:
                found = str(failed)
            if found:
                return f"{one.name}: {found}"
        return None

    def probe(self) -> None:
        """One request that counts as traffic; how it went shows in the colour's own metrics."""
        for one in self.scenarios:
            if one.probe:
                with suppress(NoAnswer):
                    self._send(one, {})

    def _send(self, one: Scenario, variables: dict[str, str]) -> wire.Answer:
        headers = {} if one.anonymous else self._key()
        body = b""
        if one.body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(scenario.fill(one.body, variables)).encode()
        return wire.send(self.address(), one.method, one.path, headers, body, one.within)

    def _key(self) -> dict[str, str]:
        key = self.api_key()
        return {"Authorization": f"Bearer {key}"} if key else {}
