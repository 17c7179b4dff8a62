"""`/admin/settings`: what may be changed while the service runs. Each change is an audit event."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from service.api.endpoint import Door, answer, body, path_parameter
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.api.gate import Gate
from service.auth.audit import Audit
from service.auth.permissions import Principal
from service.storage.runtime_settings import Runtime, RuntimeSettings


class NewValue(Struct, forbid_unknown_fields=True):
    """Body of `PUT /admin/settings/{id}`; the setting's `minimum` and `maximum` hold."""

    value: int


NEW_VALUE: Final = msgspec.json.Decoder(NewValue)


class Runtimes:
    """Needs the permission `admin`."""

    def __init__(self, door: Door, gate: Gate, settings: RuntimeSettings, audit: Audit) -> None:
        self._door = door
        self._gate = gate
        self._settings = settings
        self._audit = audit

    async def list(self, exchange: Exchange) -> None:
        await self._door.enter(exchange, "admin")
        found = [await self._settings.describe(name) for name in self._settings.names()]
        await answer(exchange, {"object": "list", "data": found})

    async def get(self, exchange: Exchange) -> None:
        await self._door.enter(exchange, "admin")
        await answer(exchange, await self._settings.describe(self._named(exchange).name))

    async def put(self, exchange: Exchange) -> None:
        admin = await self._door.enter(exchange, "admin")
        setting = self._named(exchange)
        wanted = await body(exchange, NEW_VALUE)
        if not setting.minimum <= wanted.value <= setting.maximum:
            raise ApiError(
                400,
                f"'{setting.name}' takes {setting.minimum} to {setting.maximum} {setting.unit}.",
                param="value",
            )
        await self._settings.put(setting.name, wanted.value, admin.id)
        self._note(exchange, admin, setting.name, wanted.value)
        await answer(exchange, await self._settings.describe(setting.name))

    async def remove(self, exchange: Exchange) -> None:
        """Back to what the environment says."""
        admin = await self._door.enter(exchange, "admin")
        setting = self._named(exchange)
        await self._settings.remove(setting.name)
        self._note(exchange, admin, setting.name, None)
        await answer(exchange, await self._settings.describe(setting.name))

    def _named(self, exchange: Exchange) -> Runtime:
        setting = self._settings.known(path_parameter(exchange, "id"))
        if setting is None:
            known = ", ".join(self._settings.names())
            raise ApiError(404, f"There is no such setting; these can be changed: {known}.", param="id")
        return setting

    def _note(self, exchange: Exchange, admin: Principal, name: str, value: Any) -> None:
        address = self._gate.address(exchange)
        self._audit.add(
            self._audit.event(
                "setting_changed", admin.id, address, exchange.request_id, setting=name, value=value
            )
        )
