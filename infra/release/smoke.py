"""Smoke tests and probes: requests through the test listener, where only the idle colour answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from infra.release import scenario, wire
from infra.release.scenario import Scenario
from infra.release.wire import Address, NoAnswer

PREFERRED: Final = "simulator"
"""The alias that costs nothing (service/providers/config.py); a service that offers it is asked for it."""
ALIAS_OWNER: Final = "superagent"
LIST_SECONDS: Final = 10.0


class NoModel(Exception):
    """The service offers nothing that `${model}` could stand for; the message says why and what to do."""


@dataclass(slots=True)
class SmokeTests:
    """Runs the scenarios one after the other; `api_key` is read when it is needed and never printed."""

    address: Callable[[], Address]
    scenarios: Sequence[Scenario]
    api_key: Callable[[], str]
    model: str = ""
    """What `${model}` stands for; empty: the new colour's own list of models decides, once."""

    def prepare(self) -> None:
        """Read the key, if a scenario needs one. Raises `UserError`: better now than half-way."""
        if not all(one.anonymous for one in self.scenarios):
            self.api_key()

    def ready(self) -> bool:
        """Whether the idle colour answers through the test listener; its data plane takes a moment."""
        try:
            return wire.send(self.address(), "GET", "/health/ready", {}, b"", 2.0).status == 200
        except NoAnswer:
            return False

    def check(self, version: str) -> str | None:
        """The first scenario that is wrong and what is wrong with it; `None` when all are right."""
        for one in self.scenarios:
            try:
                variables = {"version": version, **self._model_of(one)}
                found = scenario.problem(one, self._send(one, variables), variables)
            except (NoAnswer, NoModel) as failed:
                found = str(failed)
            if found:
                return f"{one.name}: {found}"
        return None

    def probe(self) -> int:
        """Requests that count as traffic, and their number; how they went shows in the colour's metrics."""
        sent = 0
        for one in self.scenarios:
            if one.probe:
                with suppress(NoAnswer, NoModel):
                    self._send(one, self._model_of(one))
                    sent += 1
        return sent

    def _model_of(self, one: Scenario) -> dict[str, str]:
        if "model" not in scenario.variables(one):
            return {}
        if not self.model:
            answer = wire.send(self.address(), "GET", "/v1/models", self._key(), b"", LIST_SECONDS)
            self.model = choose(answer)
        return {"model": self.model}

    def _send(self, one: Scenario, variables: Mapping[str, str]) -> wire.Answer:
        headers = {} if one.anonymous else self._key()
        body = b""
        if one.body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(scenario.fill(one.body, variables)).encode()
        path = scenario.fill(one.path, variables)
        return wire.send(self.address(), one.method, path, headers, body, one.within)

    def _key(self) -> dict[str, str]:
        key = self.api_key()
        return {"Authorization": f"Bearer {key}"} if key else {}


def choose(listed: wire.Answer) -> str:
    """The model to smoke with: the simulator, else the first alias (it has fallbacks), else the first model.

    `listed` is the answer of `GET /v1/models`. Raises `NoModel`.
    """
    if listed.status != 200:
        raise NoModel(f"GET /v1/models answered {listed.status}, so no model can be chosen")
    try:
        models: list[dict[str, Any]] = json.loads(listed.body)["data"]
        names = [str(one["id"]) for one in models]
        aliases = [str(one["id"]) for one in models if one.get("owned_by") == ALIAS_OWNER]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoModel("GET /v1/models did not answer with a list of models") from None
    if PREFERRED in names:
        return PREFERRED
    if not names:
        raise NoModel("the service lists no model; name one in SUPERAGENT_SMOKE_MODEL")
    return (aliases or names)[0]
