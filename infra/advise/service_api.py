"""The service's runtime settings over HTTP: `/admin/settings` (docs/architecture.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.advise.observed import Setting
from infra.errors import OperationFailed
from infra.release.wire import Address, NoAnswer, send

SECONDS: Final = 10.0
PATH: Final = "/admin/settings"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Asked with an admin's key; both are found out when first needed."""

    address: Callable[[], Address]
    api_key: Callable[[], str]

    def read(self) -> Mapping[str, Setting]:
        """Every setting that can be changed while the service runs. Raises `OperationFailed`."""
        listed = self._call("GET", PATH)["data"]
        return {one["name"]: Setting(one["name"], one["value"], one["source"]) for one in listed}

    def put(self, name: str, value: int) -> None:
        self._call("PUT", f"{PATH}/{name}", json.dumps({"value": value}).encode())

    def remove(self, name: str) -> None:
        """Back to the environment's value."""
        self._call("DELETE", f"{PATH}/{name}")

    def _call(self, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.api_key()}", "Content-Type": "application/json"}
        address = self.address()
        headers["Host"] = address.server_name or address.host
        try:
            answer = send(address, method, path, headers, body, SECONDS)
        except NoAnswer as failed:
            raise OperationFailed(f"The service's settings: {failed}.") from None
        try:
            found: dict[str, Any] = json.loads(answer.body)
        except ValueError:
            found = {}
        if answer.status != 200:
            why = found.get("error", {}).get("message", "")
            raise OperationFailed(f"The service's settings: it answered {answer.status}. {why}".strip())
        return found
