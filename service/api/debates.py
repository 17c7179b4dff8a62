"""`/v1/debates`: begin one (and wait, follow, or come back), read, list, cancel."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from service.api.debate_events import DebateEvents
from service.api.debate_request import DECODER, parse
from service.api.endpoint import Door, answer, body, path_parameter, query
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.auth.permissions import Principal
from service.debates import view
from service.debates.cost import round_cost
from service.debates.runner import NoRoom, Runner
from service.debates.spec import Spec
from service.debates.store import TooMany

PERMISSION: Final = "debate"
RETRY_SECONDS: Final = 5.0


class DebatesQuery(Struct, forbid_unknown_fields=True):
    """Newest first; `before` is the last id of the page before."""

    status: Literal["running", "completed", "failed", "cancelled"] | None = None
    before: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Debates:
    """Needs the permission `debate`; a debate belongs to the account that began it."""

    def __init__(
        self,
        door: Door,
        runner: Runner,
        events: DebateEvents,
        router: Any,
        *,
        judge: str,
        embedding: str,
        request_seconds: float,
        max_body: int,
    ) -> None:
        self._door = door
        self._runner = runner
        self._events = events
        self._knows = getattr(router, "knows", lambda name: True)
        self._judge = judge
        self._embedding = embedding
        self._request_seconds = request_seconds
        self._max_body = max_body
        self._endings: set[asyncio.Task[Any]] = set()

    async def create(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, PERMISSION)
        asked = await body(exchange, DECODER, self._max_body)
        spec = parse(
            asked,
            knows=self._knows,
            judge=self._judge,
            embedding=self._embedding,
            request_seconds=self._request_seconds,
        )
        self._affordable(spec)
        try:
            identity, events = await self._runner.begin(spec, principal, attached=asked.mode != "async")
        except NoRoom:
            self._door.limited("global")
            raise ApiError(
                429,
                "This server runs as many debates as it can; try again, or set 'mode' to 'async'.",
                retry_after=RETRY_SECONDS,
            ) from None
        except TooMany as error:
            self._door.limited("client" if error.scope == "key" else "global")
            whose = "this key's account" if error.scope == "key" else "the whole service"
            raise ApiError(
                429, f"There are {error.limit} open debates, the most for {whose}.", retry_after=RETRY_SECONDS
            ) from None
        exchange.response_headers.append((b"x-superagent-debate", identity.encode()))
        exchange.fields["debate"] = identity
        if asked.mode == "async":
            exchange.response_headers.append((b"location", f"/v1/debates/{identity}".encode()))
            await answer(exchange, await self._view(principal, identity), 202)
            return
        assert events is not None
        exchange.watch_disconnect()
        try:
            if asked.mode == "stream":
                await self._events.tell(exchange, principal.account, identity, 0, events)
            else:
                await self._runner.ended(identity)
                await answer(exchange, await self._view(principal, identity))
        except asyncio.CancelledError:
            if exchange.disconnected and asked.on_disconnect == "continue":
                self._runner.detach(identity)
            elif exchange.disconnected:  # nobody waits for it any more; a stopping server is another matter
                self._end_later(principal.account, identity)
            raise

    async def get(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, PERMISSION)
        await answer(exchange, await self._view(principal, path_parameter(exchange, "id")))

    async def list(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, PERMISSION)
        wanted = query(exchange, DebatesQuery)
        before = wanted.before.replace("\0", "") if wanted.before is not None else None
        found = await self._runner.store.list(principal.account, wanted.status, before, wanted.limit + 1)
        await answer(
            exchange,
            {
                "object": "list",
                "data": [view.brief(one) for one in found[: wanted.limit]],
                "has_more": len(found) > wanted.limit,
            },
        )

    async def cancel(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, PERMISSION)
        identity = path_parameter(exchange, "id")
        status = await self._runner.cancel(principal.account, identity)
        if status is None:
            raise _unknown()
        if status != "cancelled":
            raise ApiError(409, f"This debate is {status}: there is nothing to cancel.", param="id")
        await answer(exchange, await self._view(principal, identity))

    # --- inside

    def _affordable(self, spec: Spec) -> None:
        """A budget that does not even pay for the first round is an error now, not a failed debate later."""
        if spec.budget_usd is None:
            return
        least = round_cost(spec, self._runner.calls, {}, 1, list(spec.debaters))
        if least > spec.budget_usd:
            raise ApiError(
                400,
                f"The first round may cost {least:.6f} USD: raise 'budget_usd' or lower 'max_tokens'.",
                param="budget_usd",
            )

    async def _view(self, principal: Principal, identity: str) -> dict[str, Any]:
        found = await self._runner.store.load(principal.account, identity)
        if found is None:
            raise _unknown()
        return view.whole(found)

    def _end_later(self, account: str, identity: str) -> None:
        task = asyncio.create_task(self._runner.cancel(account, identity))
        self._endings.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._endings.discard(task)
        if not task.cancelled():
            task.exception()  # a lost store: the debate goes on to its deadline and is kept


def _unknown() -> ApiError:
    return ApiError(404, "There is no such debate.", param="id")
