"""Which agents there are, which one takes a message, and what each has done.

An agent that raises, lies about its confidence or never returns costs its own caller an error and nobody
else anything.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal

from service.agents.base import Agent, AgentFailed, AgentRefused, AgentReply

GROUP: Final = "superagent.agents"
CONFIDENT: Final = 0.5
"""An agent takes a message from this confidence on; below it a model answers."""

Outcome = Literal["ok", "refused", "failed", "timeout"]
Observer = Callable[[str, Outcome, float], None]
"""Called with the agent's name, the outcome and the seconds it took."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    agent: Agent
    gate: asyncio.Semaphore
    running: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0


class Registry:
    """The agents of one process. `observe` feeds the metrics."""

    def __init__(self, agents: Iterable[Agent] = (), observe: Observer | None = None) -> None:
        self._entries: dict[str, _Entry] = {}
        self._observe: Observer = observe or (lambda name, outcome, seconds: None)
        for agent in agents:
            self.add(agent)

    def add(self, agent: Agent) -> None:
        """Raises `ValueError` for a second agent of the same name."""
        if agent.name in self._entries:
            raise ValueError(f"There are two agents named {agent.name!r}; rename or remove one.")
        self._entries[agent.name] = _Entry(agent, asyncio.Semaphore(agent.limits.max_concurrent))

    def add_installed(self, points: Iterable[EntryPoint] | None = None) -> list[str]:
        """Add every agent that an installed package offers; one that cannot be loaded is logged and left out.

        Returns the names that were added.
        """
        added = []
        for point in points if points is not None else entry_points(group=GROUP):
            try:
                agent = point.load()()
                if not isinstance(agent, Agent):
                    raise TypeError(f"{point.value} does not make an agent")
                self.add(agent)
                added.append(agent.name)
            except Exception as error:
                log.warning("agent plug-in %s left out: %s: %s", point.name, type(error).__name__, error)
        return added

    def describe(self) -> list[dict[str, Any]]:
        """One row an agent, for `GET /v1/agents`."""
        return [
            {
                "name": entry.agent.name,
                "description": entry.agent.description,
                "capabilities": list(entry.agent.capabilities),
                "state": "busy" if entry.running >= entry.agent.limits.max_concurrent else "idle",
                "limits": {
                    "max_characters": entry.agent.limits.max_characters,
                    "max_seconds": entry.agent.limits.max_seconds,
                    "max_concurrent": entry.agent.limits.max_concurrent,
                },
                "stats": {
                    "running": entry.running,
                    "answered": entry.answered,
                    "refused": entry.refused,
                    "failed": entry.failed,
                    "mean_seconds": round(entry.seconds / entry.answered, 6) if entry.answered else None,
                },
            }
            for entry in self._entries.values()
        ]

    def names(self) -> list[str]:
        return list(self._entries)

    def best(self, message: str) -> tuple[str, float] | None:
        """The name and confidence of the surest agent, or None when a model should answer. One that takes no
        message so long is not asked: whoever reads it does so while everybody else waits.

        The first one registered wins a tie, so the order of settings decides and not chance.
        """
        chosen: tuple[str, float] | None = None
        for name, entry in self._entries.items():
            if len(message) > entry.agent.limits.max_characters:
                continue
            confidence = self._confidence(entry.agent, message)
            if confidence >= CONFIDENT and (chosen is None or confidence > chosen[1]):
                chosen = (name, confidence)
        return chosen

    async def process(self, name: str, message: str) -> AgentReply:
        """Let one agent answer, within its limits.

        Raises `KeyError` for an unknown name, `AgentRefused` and `AgentFailed`.
        """
        entry = self._entries[name]
        limits = entry.agent.limits
        if len(message) > limits.max_characters:
            entry.refused += 1
            self._observe(name, "refused", 0.0)
            raise AgentRefused(
                f"The message has {len(message):,} characters; {name} takes {limits.max_characters:,}."
            )
        started = time.monotonic()
        outcome: Outcome = "failed"
        try:
            async with asyncio.timeout(limits.max_seconds), entry.gate:
                entry.running += 1
                try:
                    reply = await entry.agent.process(message)
                finally:
                    entry.running -= 1
            outcome = "ok"
            return reply
        except AgentRefused:
            outcome = "refused"
            raise
        except TimeoutError:
            outcome = "timeout"
            raise AgentFailed(f"{name} gave no answer within {limits.max_seconds:g} s.") from None
        except Exception as error:
            log.exception("agent %s failed", name)
            raise AgentFailed(f"{name} failed ({type(error).__name__}).") from None
        finally:
            seconds = time.monotonic() - started
            _count(entry, outcome, seconds)
            self._observe(name, outcome, seconds)

    def _confidence(self, agent: Agent, message: str) -> float:
        try:
            confidence = float(agent.can_handle(message))
        except Exception:
            log.exception("agent %s could not judge a message", agent.name)
            return 0.0
        return 0.0 if math.isnan(confidence) else min(1.0, max(0.0, confidence))


def _count(entry: _Entry, outcome: Outcome, seconds: float) -> None:
    if outcome == "ok":
        entry.answered += 1
        entry.seconds += seconds
    elif outcome == "refused":
        entry.refused += 1
    else:
        entry.failed += 1
