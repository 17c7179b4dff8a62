"""Everything that is not hot: Starlette's router behind the same edge."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route, Router

from service.api.errors import ApiError
from service.api.exchange import Exchange


class Cold:
    """Lets the router find the endpoint, which answers through the exchange."""

    def __init__(self, routes: list[BaseRoute], hot: dict[str, str]) -> None:
        self._router = Router(routes=routes, redirect_slashes=False)
        self._routes = [route for route in routes if isinstance(route, Route)]
        self._hot = hot

    async def __call__(self, exchange: Exchange) -> None:
        scope = exchange.scope
        hot_method = self._hot.get(exchange.path)
        if hot_method is not None:
            exchange.template = exchange.path
            raise not_allowed(exchange.method, hot_method)
        exchange.template = self._template(scope, exchange.method)
        scope["superagent.exchange"] = exchange
        try:
            await self._router(scope, _nothing, _nothing)
        except HTTPException as error:
            raise ApiError(error.status_code, str(error.detail)) from None

    def _template(self, scope: Any, method: str) -> str:
        allowed: set[str] = set()
        for route in self._routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return route.path
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        if allowed:
            raise not_allowed(method, ", ".join(sorted(allowed)))
        raise ApiError(404, "There is nothing at this path.")


def not_allowed(method: str, allowed: str) -> ApiError:
    return ApiError(
        405, f"{method[:20]} is not allowed here; use {allowed}.", headers=((b"allow", allowed.encode()),)
    )


async def _nothing(message: Any = None) -> Any:
    """Endpoints read and answer through their exchange."""
    raise RuntimeError("ASGI's receive and send are not used here")
