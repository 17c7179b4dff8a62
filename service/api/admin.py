"""`/admin/*`: API keys and the security report. Each action is an audit event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from service.api.endpoint import Door, answer, body, in_utc, path_parameter
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.api.gate import Gate
from service.auth.audit import Audit
from service.auth.keys import KeyStore
from service.auth.permissions import Limits, Permission, Principal
from service.auth.report import report
from service.auth.revocations import Revocations
from service.storage.reports import Reports


class NewKey(Struct, forbid_unknown_fields=True):
    """Body of `POST /admin/api-keys`. `budget_usd` is per calendar month (UTC)."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    permissions: Annotated[list[Permission], Meta(min_length=1, max_length=5)]
    limits: Limits | None = None
    budget_usd: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class Rotation(Struct, forbid_unknown_fields=True):
    """Body of `POST /admin/api-keys/{id}/rotate`; 0 ends the old key at once."""

    overlap_seconds: Annotated[float, Meta(ge=0, le=2_592_000)] = 86_400


NEW_KEY: Final = msgspec.json.Decoder(NewKey)
ROTATION: Final = msgspec.json.Decoder(Rotation)


class Admin:
    """Needs the permission `admin`."""

    def __init__(
        self,
        door: Door,
        gate: Gate,
        keys: KeyStore,
        revocations: Revocations,
        audit: Audit,
        reports: Reports,
    ) -> None:
        self._door = door
        self._gate = gate
        self._keys = keys
        self._revocations = revocations
        self._audit = audit
        self._reports = reports

    async def create(self, exchange: Exchange) -> None:
        admin = await self._door.enter(exchange, "admin")
        wanted = await body(exchange, NEW_KEY)
        if "\0" in wanted.name:
            raise ApiError(400, "'name' must not hold NUL.", param="name")
        expires = in_utc(wanted.expires_at, "expires_at") if wanted.expires_at is not None else None
        if expires is not None and expires <= datetime.now(UTC):
            raise ApiError(400, "'expires_at' lies in the past.", param="expires_at")
        key, row = await self._keys.create(
            wanted.name,
            sorted(set(wanted.permissions)),
            limits=wanted.limits,
            budget_usd=wanted.budget_usd,
            expires_at=expires,
        )
        await self._note(exchange, admin, "key_created", key=row["id"])
        await answer(exchange, {**row, "key": key}, 201)

    async def list(self, exchange: Exchange) -> None:
        await self._door.enter(exchange, "admin")
        await answer(exchange, {"object": "list", "data": await self._keys.list()})

    async def get(self, exchange: Exchange) -> None:
        await self._door.enter(exchange, "admin")
        row = await self._keys.get(path_parameter(exchange, "id"))
        if row is None:
            raise _unknown()
        await answer(exchange, row)

    async def revoke(self, exchange: Exchange) -> None:
        admin = await self._door.enter(exchange, "admin")
        key_id = path_parameter(exchange, "id")
        try:
            revoked = await self._keys.revoke(key_id)
        finally:  # also when its answer was lost, or comes to the second attempt: it may be revoked
            await self._revocations.publish(key_id)
        if not revoked:
            raise _unknown()
        await self._note(exchange, admin, "key_revoked", key=key_id)
        await answer(exchange, {"id": key_id, "revoked": True})

    async def rotate(self, exchange: Exchange) -> None:
        admin = await self._door.enter(exchange, "admin")
        key_id = path_parameter(exchange, "id")
        wanted = await body(exchange, ROTATION)
        rotated = await self._keys.rotate(key_id, wanted.overlap_seconds)
        if rotated is None:
            raise _unknown()
        key, row = rotated
        await self._revocations.publish(key_id)
        await self._note(exchange, admin, "key_rotated", key=key_id, by=row["id"])
        await answer(exchange, {**row, "key": key}, 201)

    async def security_report(self, exchange: Exchange) -> None:
        await self._door.enter(exchange, "admin")
        found, source = await self._reports.read(report)
        await answer(exchange, {**found, "source": source})

    async def _note(self, exchange: Exchange, admin: Principal, kind: str, **details: Any) -> None:
        self._audit.add(
            self._audit.event(kind, admin.id, self._gate.address(exchange), exchange.request_id, **details)
        )


def _unknown() -> ApiError:
    return ApiError(404, "There is no such live key.", param="id")
