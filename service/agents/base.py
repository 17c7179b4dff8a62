"""What an agent is: a name, what it can do, how sure it is about a message, and an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


class AgentRefused(Exception):
    """The message is outside the agent's limits; the text says which limit and what to do. HTTP 400."""


class AgentFailed(Exception):
    """The agent broke or took too long. HTTP 502; nothing of its internals is in the text."""


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """What one agent may use up. The registry enforces them, so an agent cannot forget to."""

    max_characters: int = 200_000
    """Longest message, in characters."""
    max_seconds: float = 20.0
    """Longest run; the caller gets an error after it."""
    max_concurrent: int = 4
    """Runs at the same time in one process; the next ones wait their turn within `max_seconds`."""


@dataclass(frozen=True, slots=True)
class AgentReply:
    """The answer as Markdown for people and as plain data for programs."""

    text: str
    report: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class Agent(Protocol):
    """An agent. Plug-ins offer a factory of one under the entry point group `superagent.agents`."""

    @property
    def name(self) -> str:
        """Unique, lower case, words joined by hyphens."""
        ...

    @property
    def description(self) -> str: ...

    @property
    def capabilities(self) -> tuple[str, ...]: ...

    @property
    def limits(self) -> AgentLimits: ...

    def can_handle(self, message: str) -> float:
        """Confidence from 0 (not mine) to 1 (certainly mine). Cheap: it runs for every message."""
        ...

    async def process(self, message: str) -> AgentReply:
        """Answer. Raises `AgentRefused` when the message cannot be answered as it is."""
        ...
