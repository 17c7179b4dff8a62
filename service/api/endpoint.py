"""What endpoints off the hot path share: admission, typed bodies and queries, JSON answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
import orjson

from service.api.decode import decode, invalid
from service.api.errors import ApiError
from service.api.exchange import JSON, Exchange
from service.api.gate import Gate
from service.api.refusals import limit_lines, refused
from service.auth.permissions import Principal
from service.limits.admission import Admission
from service.limits.limiter import Plan, Plans
from service.telemetry.metrics import Metrics

T = TypeVar("T")
MAX_BODY = 65_536
BODY_SECONDS = 10.0


class Endpoint:
    """A plain ASGI app around a handler, to be mounted in Starlette's router."""

    def __init__(self, handler: Callable[[Exchange], Awaitable[None]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._handler(scope["superagent.exchange"])


class Door:
    """Gate and rate limits in one step, for endpoints that call no model."""

    def __init__(self, gate: Gate, plans: Plans, admission: Admission, metrics: Metrics) -> None:
        self._gate = gate
        self._plans = plans
        self._admission = admission
        self._limited = metrics.rate_limited

    async def admit(self, exchange: Exchange, permission: str) -> Principal:
        """Without the rates: for what goes on into the pipeline, which counts it itself."""
        return await self._gate.admit(exchange, permission)

    async def enter(self, exchange: Exchange, permission: str) -> Principal:
        """The principal. Raises `ApiError` 401, 403 or 429, or `StoreUnavailable`."""
        principal = await self._gate.admit(exchange, permission)
        await self._count(exchange, self._plans.plan(principal, exchange.template, calls_models=False))
        return principal

    async def count(self, exchange: Exchange, principal: Principal) -> None:
        """After `admit`, for what is refused before the pipeline sees it: a refusal is no free request.
        Raises `ApiError` 429 or 402.
        """
        await self._count(exchange, self._plans.plan(principal, exchange.template))

    async def _count(self, exchange: Exchange, plan: Plan) -> None:
        decision, _ = await self._admission.admit(plan, 0, 0)
        if decision.limit:
            exchange.lines += limit_lines(decision)
        if decision.scope:
            self.limited(decision.scope)
            raise refused(decision)

    def limited(self, scope: str) -> None:
        """Count a refusal for too much; `scope` as in `superagent_rate_limited_total`."""
        self._limited.labels(scope).inc()


async def body(exchange: Exchange, decoder: msgspec.json.Decoder[T], limit: int = MAX_BODY) -> T:
    return decode(decoder, await exchange.body(limit, BODY_SECONDS))


def query(exchange: Exchange, kind: type[T]) -> T:
    """The query string as a struct; unknown names are refused. Raises `ApiError` 400."""
    try:
        pairs = parse_qsl(
            exchange.query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=False,
            max_num_fields=50,
        )
        return msgspec.convert(dict(pairs), kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except (ValueError, UnicodeDecodeError):
        raise ApiError(400, "The query string cannot be read.") from None


def in_utc(moment: datetime, param: str) -> datetime:
    """The same moment there. Raises `ApiError` 400 for one that falls off the calendar on the way."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ApiError(400, f"'{param}' must lie in the years 1 to 9999, in UTC.", param=param) from None


def path_parameter(exchange: Exchange, name: str) -> str:
    value: str = exchange.scope["path_params"][name]
    if len(value) > 200 or not value.isprintable():
        raise ApiError(404, "There is nothing at this path.")
    return value


async def answer(exchange: Exchange, value: Any, status: int = 200) -> None:
    await exchange.respond(status, [JSON, (b"cache-control", b"no-store")], orjson.dumps(value, default=str))
