"""Agents are chosen by confidence, held to their limits, and cannot take each other down."""

from __future__ import annotations

import asyncio
from importlib.metadata import EntryPoint

import pytest

from service.agents.base import AgentFailed, AgentLimits, AgentRefused, AgentReply
from service.agents.code.agent import CodeAnalysisAgent
from service.agents.registry import Registry


class Fake:
    description = "for tests"
    capabilities = ("test",)

    def __init__(self, name: str, confidence: object, limits: AgentLimits | None = None) -> None:
        self.name = name
        self.confidence = confidence
        self.limits = limits or AgentLimits()
        self.running = self.most = 0
        self.release = asyncio.Event()

    def can_handle(self, message: str) -> float:
        if isinstance(self.confidence, Exception):
            raise self.confidence
        return self.confidence  # type: ignore[return-value]

    async def process(self, message: str) -> AgentReply:
        if message == "refuse":
            raise AgentRefused("not this")
        if message == "break":
            raise ZeroDivisionError("secret detail")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if message == "wait":
                await self.release.wait()
        finally:
            self.running -= 1
        return AgentReply("done")


def test_the_surest_agent_takes_the_message() -> None:
    registry = Registry([Fake("unsure", 0.6), Fake("sure", 0.9), Fake("late", 0.9)])
    assert registry.best("x") == ("sure", 0.9)


def test_without_a_sure_agent_a_model_answers() -> None:
    assert Registry([Fake("unsure", 0.49)]).best("x") is None


@pytest.mark.parametrize("lie", [float("nan"), ValueError("x"), "not a number", None])
def test_an_agent_that_cannot_judge_is_passed_over(lie: object) -> None:
    assert Registry([Fake("liar", lie), Fake("sure", 0.7)]).best("x") == ("sure", 0.7)


def test_too_much_confidence_is_cut() -> None:
    assert Registry([Fake("boaster", 99.0)]).best("x") == ("boaster", 1.0)


async def test_a_failure_tells_the_caller_its_kind_and_no_detail() -> None:
    seen = []
    registry = Registry([Fake("one", 1.0)], observe=lambda *row: seen.append(row[:2]))
    with pytest.raises(AgentFailed, match=r"one failed \(ZeroDivisionError\)\.") as raised:
        await registry.process("one", "break")
    assert "secret detail" not in str(raised.value)
    with pytest.raises(AgentRefused):
        await registry.process("one", "refuse")
    await registry.process("one", "go")
    assert seen == [("one", "failed"), ("one", "refused"), ("one", "ok")]
    stats = registry.describe()[0]["stats"]
    assert (stats["answered"], stats["refused"], stats["failed"], stats["running"]) == (1, 1, 1, 0)


async def test_an_agent_that_hangs_is_ended() -> None:
    agent = Fake("slow", 1.0, AgentLimits(max_seconds=0.05))
    with pytest.raises(AgentFailed, match=r"no answer within 0\.05 s"):
        await Registry([agent]).process("slow", "wait")
    assert agent.running == 0


async def test_no_more_runs_at_once_than_the_limit() -> None:
    agent = Fake("narrow", 1.0, AgentLimits(max_concurrent=2))
    registry = Registry([agent])
    runs = [asyncio.create_task(registry.process("narrow", "wait")) for _ in range(5)]
    while agent.running < 2:
        await asyncio.sleep(0)
    assert registry.describe()[0]["state"] == "busy"
    agent.release.set()
    await asyncio.gather(*runs)
    assert agent.most == 2


async def test_a_message_over_the_limit_never_reaches_the_agent() -> None:
    registry = Registry([Fake("short", 1.0, AgentLimits(max_characters=3))])
    with pytest.raises(AgentRefused, match="has 4 characters; short takes 3"):
        await registry.process("short", "wait")


def test_two_agents_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two agents named 'one'"):
        Registry([Fake("one", 1.0), Fake("one", 1.0)])


def test_a_plug_in_is_added_by_its_entry_point() -> None:
    point = EntryPoint("code", "service.agents.code.agent:CodeAnalysisAgent", "superagent.agents")
    broken = EntryPoint("broken", "service.agents.nothing:Nobody", "superagent.agents")
    wrong = EntryPoint("wrong", "builtins:dict", "superagent.agents")
    registry = Registry()
    assert registry.add_installed([broken, wrong, point]) == ["code-analysis"]
    assert registry.best("review\n```py\nx = 1\n```") == ("code-analysis", 0.95)


async def test_the_built_in_agent_answers_through_the_registry() -> None:
    reply = await Registry([CodeAnalysisAgent()]).process("code-analysis", "```js\neval(x)\n```")
    assert reply.report["summary"]["findings"] == 1


def test_an_agent_is_not_asked_about_a_message_that_it_takes_too_long_to_read() -> None:
    """The question is asked between the requests of all others; a message may have eight megabytes."""
    registry = Registry([Fake("short", 1.0, AgentLimits(max_characters=3)), Fake("long", 0.6)])
    assert registry.best("1234") == ("long", 0.6)
    assert registry.best("123") == ("short", 1.0)
