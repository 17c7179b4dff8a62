"""One debate from where it stands to its end. Every step is stored before the next one begins, so the same
code starts a debate and goes on with one whose node died.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from service.debates import agreement as measure
from service.debates import prompts, view
from service.debates.agreement import Agreement
from service.debates.calls import BudgetSpent, Calls
from service.debates.cost import round_cost
from service.debates.records import Claimed, usage_row
from service.debates.result import agreement_of, result
from service.debates.spec import Debater, Status, Step, concluding_round, last_round, spent, turns_of
from service.debates.store import LeaseLost, Store
from service.providers.base import CanonicalRequest
from service.storage.database import StoreUnavailable
from service.storage.journal import Journal

Emit = Callable[[str, dict[str, Any], int], None]
ABSENCES: Final = 2
"""A participant that failed so many rounds in a row is not asked any more."""
STORE_RETRY_SECONDS: Final = 0.5
STORE_SECONDS: Final = 3.0


class Released(Exception):
    """Stopped between two rounds because the node is going away."""


class Engine:
    """Runs one claimed debate. `ready` waits until the lease is valid and raises `LeaseLost`; `leaving`
    says that the node is going away; `emit` hears every event, with the number of its step or 0.
    """

    def __init__(
        self,
        claimed: Claimed,
        calls: Calls,
        store: Store,
        journal: Journal,
        *,
        ready: Callable[[], Awaitable[None]],
        leaving: Callable[[], bool],
        emit: Emit,
    ) -> None:
        self._lease = claimed.lease
        self._spec = claimed.spec
        self._principal = claimed.principal
        self._steps = claimed.steps
        self._deadline = time.monotonic() + claimed.seconds_left
        self._calls = calls
        self._store = store
        self._journal = journal
        self._ready = ready
        self._leaving = leaving
        self._emit = emit
        self._key_spent = False

    async def run(self) -> tuple[Status, dict[str, Any]]:
        """Status and result, stored. Raises `LeaseLost` or `Released`."""
        stopped = await self._rounds()
        if last_round(self._steps):
            if "final" not in self._steps:
                await self._conclude(stopped)
            status: Status = "completed"
            value = result(self._spec, self._steps, stopped)
        else:
            status, value = "failed", {"stopped": stopped, "error": self._why_nobody(stopped)}
        await self._stored(lambda: self._store.finish(self._lease, status, value))
        return status, value

    async def _rounds(self) -> str:
        """Why it stopped: consensus, rounds, too_few_participants, deadline, budget or key_budget."""
        for number in range(1, self._spec.rounds + 1):
            stopped = await self._round(number)
            if stopped:
                return stopped
            if self._leaving() and number < self._spec.rounds:
                raise Released
        return "rounds"

    async def _round(self, number: int) -> str:
        spec, steps = self._spec, self._steps
        due = [
            one
            for one in spec.debaters
            if f"r{number}.{one.id}" not in steps and not self._gave_up(one, number)
        ]
        measured = agreement_of(steps, number)
        if due and measured is None:
            if time.monotonic() >= self._deadline:
                return "deadline"
            if (
                spec.budget_usd is not None
                and spent(steps) + round_cost(spec, self._calls, steps, number, due) > spec.budget_usd
            ):
                return "budget"
            await self._turns(due, number)
        turns = turns_of(steps, number)
        if len(turns) < 2:
            late = time.monotonic() >= self._deadline
            return "key_budget" if self._key_spent else "deadline" if late else "too_few_participants"
        if measured is None:
            measured = await self._measure(number, turns)
        if measured.level >= spec.threshold:
            return "consensus"
        if self._key_spent:
            return "key_budget"
        return "deadline" if time.monotonic() >= self._deadline and number < spec.rounds else ""

    def _tell(self, step: Step) -> None:
        told = view.event(step)
        if told is not None:
            self._emit(*told, step.seq)

    def _gave_up(self, debater: Debater, number: int) -> bool:
        own = [one for one in self._steps.values() if one.participant == debater.id and one.round < number]
        last = sorted(own, key=lambda one: one.round)[-ABSENCES:]
        return len(last) == ABSENCES and all(one.status == "absent" for one in last)

    async def _turns(self, due: list[Debater], number: int) -> None:
        """All at once; one that fails is absent and holds nobody up."""
        self._emit("round.started", {"round": number, "participants": [one.id for one in due]}, 0)
        try:
            async with asyncio.TaskGroup() as group:
                for debater in due:
                    group.create_task(self._turn(debater, number))
        except* (LeaseLost, StoreUnavailable) as errors:
            raise _first(errors) from None

    async def _turn(self, debater: Debater, number: int) -> None:
        step = Step(id=f"r{number}.{debater.id}", kind="turn", round=number, participant=debater.id)
        request = prompts.turn(self._spec, debater, number, self._steps)
        try:
            await self._ask(step, debater.targets, request)
        except BudgetSpent:
            self._key_spent = True
            return
        self._tell(step)

    async def _measure(self, number: int, turns: list[Step]) -> Agreement:
        """By the judge, else by embeddings, else by words: the first that is configured and works."""
        names = [one.participant for one in turns]
        texts = [one.text for one in turns]
        notes: list[str] = []
        found = await self._judged(number, turns, names, notes)
        if found is None:
            found = await self._embedded(number, names, texts, notes)
        if found is None:
            found = measure.by_words(names, texts)
        found.note = "; ".join(notes)
        step = Step(
            id=f"r{number}.agreement", kind="agreement", round=number, data=msgspec.to_builtins(found)
        )
        step.at = time.time()
        await self._stored(lambda: self._store.add(self._lease, step, None))
        self._steps[step.id] = step
        self._tell(step)
        return found

    async def _judged(
        self, number: int, turns: list[Step], names: list[str], notes: list[str]
    ) -> Agreement | None:
        if not self._spec.judge:
            return None
        step = self._steps.get(f"r{number}.judge")
        if step is None:
            step = Step(id=f"r{number}.judge", kind="judge", round=number)
            await self._extra(step, prompts.judge(self._spec, turns))
        if step.status == "absent":
            notes.append(f"judge: {step.error}")
            return None
        try:
            return measure.by_claims(names, step.text)
        except ValueError as error:
            notes.append(str(error))
            return None

    async def _embedded(
        self, number: int, names: list[str], texts: list[str], notes: list[str]
    ) -> Agreement | None:
        target = self._spec.embedding
        if not target or not self._calls.can_embed:
            return None
        step = Step(id=f"r{number}.embedding", kind="embedding", round=number)
        if step.id in self._steps:  # paid for by a node that died before it could say what came out
            notes.append("embedding: its vectors were lost with their node")
            return None
        step.at = time.time()
        await self._ready()
        try:
            vectors = await self._calls.embed(
                step, self._principal, target, texts, self._spec.turn_seconds, self._deadline
            )
        except BudgetSpent:
            notes.append("embedding: the key's budget is spent")
            return None
        step.data = {"vectors": len(vectors)}
        await self._keep(step, target)
        try:
            return measure.by_vectors(names, vectors)
        except ValueError as error:
            notes.append(f"embedding: {step.error or error}")
            return None

    async def _conclude(self, stopped: str) -> None:
        """The judge writes the answer when there is one, time and money; else a turn is chosen."""
        spec = self._spec
        turns = turns_of(self._steps, concluding_round(self._steps))
        if not spec.judge or stopped in ("deadline", "budget", "key_budget") or len(turns) < 2:
            return
        await self._extra(Step(id="final", kind="final", round=turns[0].round), prompts.final(spec, turns))

    async def _extra(self, step: Step, request: CanonicalRequest) -> None:
        """A call of the judge; without the money for it the step is absent and nothing is stored."""
        spec = self._spec
        cost = self._calls.estimate(spec.judge, request)
        if spec.budget_usd is not None and spent(self._steps) + cost > spec.budget_usd:
            step.status, step.error = "absent", "the budget does not allow it"
            return
        try:
            await self._ask(step, (spec.judge,), request)
        except BudgetSpent:
            step.status, step.error = "absent", "the key's budget is spent"

    # --- one paid step

    async def _ask(self, step: Step, targets: tuple[str, ...], request: CanonicalRequest) -> None:
        await self._ready()
        step.at = time.time()
        try:
            await self._calls.ask(
                step, self._principal, targets, request, self._spec.turn_seconds, self._deadline
            )
        except asyncio.CancelledError:
            self._book_lost(step, targets[0], "cancelled")
            raise
        await self._keep(step, targets[0])

    async def _keep(self, step: Step, asked: str) -> None:
        """Store the step and its cost together; what cannot be stored is still booked."""
        outcome = "ok" if step.status == "ok" or step.output_tokens else step.error.partition(":")[0]
        row = usage_row(self._lease, step, self._principal, asked, step.at, _word(outcome))
        paid = row if step.attempts else None
        writing = asyncio.ensure_future(self._stored(lambda: self._store.add(self._lease, step, paid)))
        try:
            await asyncio.shield(writing)
        except LeaseLost:
            self._book_lost(step, asked, "superseded")
            raise
        except asyncio.CancelledError:
            # Half-way through a commit nobody knows whether it counts: give it a moment to say so.
            await asyncio.wait([writing], timeout=STORE_SECONDS)
            if not writing.done() or writing.cancelled() or writing.exception() is not None:
                writing.cancel()
                self._book_lost(step, asked, "superseded")
            raise
        self._steps[step.id] = step

    def _book_lost(self, step: Step, asked: str, outcome: str) -> None:
        """A call that was made and whose answer no debate holds: it has a row of its own, by the journal,
        so that the one who makes the step after us can book theirs.
        """
        if step.attempts:
            row = usage_row(self._lease, step, self._principal, asked, step.at, outcome)
            row.request_id = f"{row.request_id}~{self._lease.epoch}"
            self._journal.append(row)

    async def _stored(self, write: Callable[[], Awaitable[None]]) -> None:
        """Try until Postgres takes it: what was paid for is not thrown away because a store is down."""
        while True:
            try:
                return await write()
            except StoreUnavailable:
                await asyncio.sleep(STORE_RETRY_SECONDS)

    def _why_nobody(self, stopped: str) -> str:
        reasons = {one.participant: one.error for one in self._steps.values() if one.kind == "turn"}
        told = "; ".join([f"{name}: {error}" for name, error in sorted(reasons.items())])
        return told or f"nobody could be asked ({stopped})"


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _word(outcome: str) -> str:
    """Outcomes are single words in the ledger: the kind of an error, or `absent`."""
    return outcome if outcome.replace("_", "").isalpha() else "absent"
