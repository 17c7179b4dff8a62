"""Rates and budgets of a request: one script call in Redis, or the same arithmetic here while it is gone.

Key names are hash-tagged with the client, so that all of a client's keys lie on one node of a Redis Cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from service.auth.permissions import Principal
from service.limits.gcra import Bucket, remaining
from service.limits.script import ADMIT_SHA, SETTLE_SHA
from service.storage.commands import bulk, evalsha
from service.storage.redis_link import pack

PLANS_KEPT: Final = 250_000


@dataclass(frozen=True, slots=True)
class Rates:
    """The service's defaults, units a minute; 0 is no limit. `burst` 0 means: as large as the limit."""

    global_requests: int = 0
    client_requests: int = 0
    client_tokens: int = 0
    burst: int = 0
    endpoints: tuple[tuple[str, int], ...] = ()
    cluster: bool = False  # one script call may then touch the client's slot only


@dataclass(slots=True)
class Plan:
    """What limits one client at one endpoint, with the parts of the command that never change."""

    buckets: tuple[Bucket, ...]
    tokens: Bucket | None  # last of `buckets` when there is one
    client: Bucket | None  # the one that the X-RateLimit headers speak of
    budget_key: str
    budget_micro: int
    head: tuple[Any, ...]  # EVALSHA sha numkeys key…
    tag: str
    shared: Plan | None  # the global bucket, where it cannot be judged together with the client's
    costs: tuple[Any, ...]  # n, then emission, tolerance, 1 per request bucket
    position: int = -1  # of `client` in `buckets`
    packed: bytes = b""  # the command up to what changes from call to call, rendered at first use


class Decision(Struct, gc=False):
    """What was decided; `scope` is empty when admitted. `retry_seconds` is None for a spent budget. `local`:
    Redis was away, the reservations are this process's.
    """

    scope: str = ""
    retry_seconds: float | None = 0.0
    limit: int = 0
    remaining: int = 0
    reset_seconds: float = 0.0
    local: bool = False


class Plans:
    """Plans by client and endpoint, remembered."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._endpoints = dict(rates.endpoints)
        self._shared = self._global()
        self._plans: dict[tuple[str, str], tuple[Principal, str, Plan]] = {}

    def plan(self, principal: Principal, endpoint: str, *, calls_models: bool = True) -> Plan:
        """Remembered until the principal changes or the month does. Without a model, no tokens or budget."""
        month = _month() if calls_models and principal.budget_usd is not None else ""
        known = self._plans.get((principal.account, endpoint))
        if known is not None and known[0] is principal and known[1] == month:
            return known[2]
        if len(self._plans) >= PLANS_KEPT:
            for oldest in list(self._plans)[: PLANS_KEPT // 8]:
                del self._plans[oldest]
        plan = self._make(principal, endpoint, month, calls_models)
        self._plans[(principal.account, endpoint)] = (principal, month, plan)
        return plan

    def _make(self, principal: Principal, endpoint: str, month: str, calls_models: bool) -> Plan:
        rates, own, name = self._rates, principal.limits, f"sa:{{{principal.account}}}"
        buckets: list[Bucket] = []

        def add(key: str, scope: str, per_minute: int, burst: int) -> Bucket | None:
            if per_minute <= 0:
                return None
            bucket = Bucket(key, scope, per_minute, burst or per_minute)
            buckets.append(bucket)
            return bucket

        requests = own.requests_per_minute if own.requests_per_minute is not None else rates.client_requests
        tokens = own.tokens_per_minute if own.tokens_per_minute is not None else rates.client_tokens
        client = add(f"{name}:r", "client", requests, own.burst or rates.burst)
        add(f"{name}:e:{endpoint}", "endpoint", self._endpoints.get(endpoint, 0), 0)
        if not rates.cluster:
            add("sa:{global}:g", "global", rates.global_requests, 0)
        spent = add(f"{name}:t", "tokens", tokens, 0) if calls_models else None
        budget_key = f"{name}:b:{month}" if month else ""
        keys = [bucket.key for bucket in buckets] + ([budget_key] if budget_key else [])
        costs: list[Any] = [len(buckets)]
        for bucket in buckets:
            costs += [bucket.emission, bucket.tolerance]
            if bucket is not spent:
                costs.append(1)
        return Plan(
            tuple(buckets),
            spent,
            client,
            budget_key,
            round((principal.budget_usd or 0) * 1e6),
            ("EVALSHA", ADMIT_SHA, len(keys), *keys),
            principal.account,
            self._shared,
            tuple(costs),
            buckets.index(client) if client is not None else -1,
        )

    def _global(self) -> Plan | None:
        rates = self._rates
        if not rates.cluster or rates.global_requests <= 0:
            return None
        bucket = Bucket("sa:{global}:g", "global", rates.global_requests, rates.global_requests)
        head = ("EVALSHA", ADMIT_SHA, 1, bucket.key)
        costs = (1, bucket.emission, bucket.tolerance, 1)
        return Plan((bucket,), None, None, "", 0, head, "global", None, costs)


def admit_command(plan: Plan, tokens: int, reserve_micro: int, requests: int = 1) -> bytes:
    """The packed script call for this request, which counts as `requests` of them."""
    if requests > 1:
        return _heavier(plan, tokens, reserve_micro, requests)
    data = plan.packed or _render(plan)
    if plan.tokens is not None:
        data += bulk(min(tokens, plan.tokens.burst))
    if plan.budget_key:
        data += bulk(plan.budget_micro) + bulk(reserve_micro)
    return data


def _render(plan: Plan) -> bytes:
    fixed = plan.head + plan.costs
    changing = (plan.tokens is not None) + 2 * bool(plan.budget_key)
    start = b"*%d\r\n" % len(fixed)
    plan.packed = b"*%d\r\n" % (len(fixed) + changing) + pack(fixed)[len(start) :]
    plan.head = plan.costs = ()  # there are as many plans as clients: keep what is used
    return plan.packed


def _heavier(plan: Plan, tokens: int, reserve_micro: int, requests: int) -> bytes:
    """As the usual command, with another cost. What a full bucket holds is the most that is ever asked."""
    keys = [bucket.key for bucket in plan.buckets] + ([plan.budget_key] if plan.budget_key else [])
    arguments: list[Any] = [len(plan.buckets)]
    for bucket in plan.buckets:
        cost = tokens if bucket is plan.tokens else requests
        arguments += [bucket.emission, bucket.tolerance, min(cost, bucket.burst)]
    if plan.budget_key:
        arguments += [plan.budget_micro, reserve_micro]
    return pack(("EVALSHA", ADMIT_SHA, len(keys), *keys, *arguments))


def settle_command(plan: Plan, tokens: int, used: int, micro_change: int) -> bytes | None:
    """What corrects the reservation of `tokens` after the call; None when there is nothing to correct."""
    bucket, change = plan.tokens, 0
    if bucket is not None:  # never charged more than it holds, so no more comes back
        change = round((used - min(tokens, bucket.burst)) * bucket.emission)
    budget = plan.budget_key if micro_change else ""
    if bucket is None or not change:
        return evalsha(SETTLE_SHA, budget, micro_change) if budget else None
    if budget:
        return pack(("EVALSHA", SETTLE_SHA, 2, bucket.key, budget, change, micro_change))
    return evalsha(SETTLE_SHA, bucket.key, change)


def read(plan: Plan, answer: list[int]) -> Decision:
    """The script's (or the local buckets') answer as a decision."""
    verdict, count = answer[0], len(plan.buckets)
    client = plan.client
    if client is None:
        decision = Decision()
    else:
        ahead = answer[1 + plan.position]
        decision = Decision("", 0.0, client.per_minute, remaining(client, ahead), ahead / 1e6)
    if not verdict:
        return decision
    if verdict == count + 1:
        decision.scope, decision.retry_seconds = "budget", None
    elif verdict > 0:
        bucket = plan.buckets[verdict - 1]
        decision.scope, decision.retry_seconds = bucket.scope, answer[count + 1] / 1e6
    return decision


def _month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")
