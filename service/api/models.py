"""`GET /v1/models` and `/v1/models/{id}`, in OpenAI's format."""

from __future__ import annotations

from typing import Any, Final, Protocol

from service.api.endpoint import Door, answer, path_parameter
from service.api.errors import ApiError
from service.api.exchange import Exchange

# The catalog knows no birthdays; clients want a number.
CREATED: Final = 1_700_000_000


class Listing(Protocol):
    def models(self) -> list[Any]: ...


class Models:
    """Every model and alias that a client may name."""

    def __init__(self, door: Door, router: Listing) -> None:
        self._door = door
        self._router = router

    async def list(self, exchange: Exchange) -> None:
        await self._door.enter(exchange, "")
        await answer(exchange, {"object": "list", "data": [_describe(one) for one in self._router.models()]})

    async def get(self, exchange: Exchange) -> None:
        await self._door.enter(exchange, "")
        wanted = path_parameter(exchange, "id")
        for one in self._router.models():
            if one.id == wanted:
                await answer(exchange, _describe(one))
                return
        raise ApiError(404, f"The model '{wanted[:100]}' does not exist here.", param="model")


def _describe(entry: Any) -> dict[str, Any]:
    shown = {"id": entry.id, "object": "model", "created": CREATED, "owned_by": entry.owned_by}
    if entry.info is not None:
        shown["context_window"] = entry.info.context
    return shown
