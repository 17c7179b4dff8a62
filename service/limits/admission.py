"""May this request go on? One round trip to Redis that also looks into the cache; local limits without it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from service.limits.limiter import Decision, Plan, admit_command, read, settle_command
from service.limits.local import LocalBuckets
from service.limits.script import ADMIT, SETTLE
from service.storage.commands import get
from service.storage.database import StoreUnavailable
from service.storage.redis_cluster import RedisCluster
from service.storage.redis_link import RedisError, RedisLink, pack

# Loaded afresh from the ledger each hour, so that no drift of reservations lives on.
BUDGET_SECONDS: Final = 3600
Redis = RedisLink | RedisCluster
Spent = Callable[[str], Awaitable[float]]
Admitted = tuple[Decision, bytes | None]

# A ledger that hangs must not hold a request up: its key is counted here until the ledger answers.
SPENT_SECONDS: Final = 0.5


class Admission:
    """`spent` loads a client's USD of this month from the ledger: what Redis does not know is asked there."""

    def __init__(self, link: Redis | None, local: LocalBuckets, spent: Spent) -> None:
        self._link = link
        self._local = local
        self._spent = spent
        self._local_spend: dict[str, int] = {}
        if link is not None:
            link.on_connect.append(_load_scripts)

    def admit(
        self, plan: Plan, tokens: int, reserve_micro: int, cache_key: str = "", requests: int = 1
    ) -> Awaitable[Admitted]:
        """(decision, what the cache holds under `cache_key`). Never raises for a lost Redis."""
        if plan.shared is None:
            return self._admit(plan, tokens, reserve_micro, cache_key, requests)
        return self._admit_both(plan, plan.shared, tokens, reserve_micro, cache_key, requests)

    async def _admit_both(
        self, plan: Plan, shared: Plan, tokens: int, reserve_micro: int, cache_key: str, requests: int
    ) -> Admitted:
        """In a cluster the global bucket lies elsewhere: it is asked second, so that no refused client eats
        of it; what the client had reserved is given back.
        """
        decision, cached = await self._admit(plan, tokens, reserve_micro, cache_key, requests)
        if not decision.scope:
            overall, _ = await self._admit(shared, 0, 0, "", requests)
            if overall.scope:
                self.settle(plan, tokens, 0, reserve_micro, 0, local=decision.local)
                return overall, None
        return decision, cached

    async def _admit(
        self, plan: Plan, tokens: int, reserve_micro: int, cache_key: str, requests: int
    ) -> Admitted:
        link = self._link
        if link is None or not link.available:
            return await self._admit_locally(plan, tokens, reserve_micro, requests), None
        limited = bool(plan.buckets or plan.budget_key)
        data = admit_command(plan, tokens, reserve_micro, requests) if limited else b""
        if cache_key:
            data += get(cache_key)
        elif not limited:
            return Decision(), None
        try:
            replies = await link.send(data, 2 if limited and cache_key else 1, plan.tag)
        except StoreUnavailable:
            return await self._admit_locally(plan, tokens, reserve_micro, requests), None
        cached = replies[-1] if cache_key and isinstance(replies[-1], bytes) else None
        if not limited:
            return Decision(), cached
        answer = replies[0]
        if isinstance(answer, RedisError) or answer[0] == -1:
            return await self._again(link, plan, tokens, reserve_micro, requests, answer), cached
        return read(plan, answer), cached

    def settle(
        self, plan: Plan, tokens: int, used: int, reserve_micro: int, cost_usd: float, *, local: bool = False
    ) -> None:
        """Correct what was reserved, as it was admitted (`local` as the decision said), by what really was
        used. Sent without waiting. Who did not charge the reservation gives none of it back.
        """
        cost_micro = round(cost_usd * 1e6)
        if plan.budget_key in self._local_spend:
            self._local_spend[plan.budget_key] += cost_micro - (reserve_micro if local else 0)
        if self._link is not None and self._link.available:
            if local:
                tokens = reserve_micro = 0
            command = settle_command(plan, tokens, used, cost_micro - reserve_micro)
            if command is not None:
                self._link.post(command, 1, plan.tag)

    async def _again(
        self, link: Redis, plan: Plan, tokens: int, reserve: int, requests: int, answer: object
    ) -> Decision:
        """The script was flushed, or the budget's counter is unknown: mend that and ask once more."""
        try:
            if isinstance(answer, RedisError):
                await link.repair()
            else:
                await self._load_budget(link, plan)
            again = (await link.send(admit_command(plan, tokens, reserve, requests), 1, plan.tag))[0]
        except (StoreUnavailable, RedisError):
            return await self._admit_locally(plan, tokens, reserve, requests)
        if isinstance(again, RedisError) or again[0] == -1:
            return await self._admit_locally(plan, tokens, reserve, requests)
        return read(plan, again)

    async def _load_budget(self, link: Redis, plan: Plan) -> None:
        micro = await self._spent_micro(plan)
        await link.call("SET", plan.budget_key, micro, "NX", "EX", BUDGET_SECONDS, tag=plan.tag)

    async def _spent_micro(self, plan: Plan) -> int:
        try:
            async with asyncio.timeout(SPENT_SECONDS):
                return round(await self._spent(plan.budget_key) * 1e6)
        except TimeoutError:
            raise StoreUnavailable("postgres") from None

    async def _admit_locally(self, plan: Plan, tokens: int, reserve: int, requests: int) -> Decision:
        costs = tuple(
            [float(min(tokens if one is plan.tokens else requests, one.burst)) for one in plan.buckets]
        )
        if plan.budget_key:
            if plan.budget_key not in self._local_spend:
                try:
                    self._local_spend[plan.budget_key] = await self._spent_micro(plan)
                except StoreUnavailable:
                    # Neither store tells: count from zero rather than refuse everybody with a budget.
                    self._local_spend[plan.budget_key] = 0
            if self._local_spend[plan.budget_key] + reserve > plan.budget_micro:
                return read(plan, [len(plan.buckets) + 1, *([0] * len(plan.buckets)), 0])
        decision = read(plan, self._local.admit(plan.buckets, costs))
        decision.local = True
        if plan.budget_key and not decision.scope:
            self._local_spend[plan.budget_key] += reserve
        return decision

    def redis_is_back(self, available: bool) -> None:
        """What was counted here is in the ledger by then; Redis and Postgres are asked again."""
        if available:
            self._local_spend.clear()


async def _load_scripts(link: RedisLink) -> None:
    async with asyncio.timeout(2.0):
        replies = await link.send(pack(("SCRIPT", "LOAD", ADMIT)) + pack(("SCRIPT", "LOAD", SETTLE)), 2)
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
