"""The Kubernetes API as plain JSON: identity and transport by the `kubernetes` package."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubernetes import client, config  # type: ignore[import-untyped]
from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from infra.errors import OperationFailed, UserError

ATTEMPTS: Final = 6
PASSING: Final = frozenset({429, 500, 502, 503, 504})
"""Answers worth another attempt."""
TIMEOUT: Final = (3.0, 30.0)
"""Seconds to connect, to read."""
STRATEGIC: Final = "application/strategic-merge-patch+json"
"""Merges lists of containers and variables by name."""
STRICT: Final = [("fieldValidation", "Strict")]
"""Without it an unknown field is dropped, with nothing but a warning header."""
MERGE: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Kube:
    """GET, list, PATCH, POST and DELETE with retries; every call may be repeated."""

    api: client.ApiClient
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def from_kubeconfig(cls, context: str | None = None) -> Kube:
        """With the caller's kubeconfig (`aws eks update-kubeconfig` writes one)."""
        try:
            api = config.new_client_from_config(context=context)
        except config.ConfigException as failed:
            raise UserError(
                f"There is no usable kubeconfig: {failed}.",
                "Run `aws eks update-kubeconfig --name <cluster>`.",
            ) from None
        return cls(api)

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, or `None` when it does not exist."""
        return self._call("GET", path, missing_is_none=True)

    def need(self, path: str, fix: str) -> dict[str, Any]:
        """An object that must exist; `UserError` with `fix` when it does not."""
        found = self.get(path)
        if found is None:
            raise UserError(f"The cluster has no {path.rpartition('namespaces/')[2]}.", fix)
        return found

    def items(self, path: str, selector: str) -> list[dict[str, Any]]:
        """Every object that a label selector finds."""
        found = self._call("GET", path, query=[("labelSelector", selector)]) or {}
        listed: list[dict[str, Any]] = found["items"]
        return listed

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change parts of an object and return it as it then is."""
        strategic = path.startswith("/apis/apps/") and not path.endswith("/scale")
        content_type = STRATEGIC if strategic else MERGE
        return self._call("PATCH", path, body, query=STRICT, content_type=content_type) or {}

    def create(self, path: str, body: dict[str, Any]) -> None:
        """Create an object; one of that name that exists already is fine."""
        self._call("POST", path, body, query=STRICT, existing_is_fine=True)

    def delete(self, path: str) -> None:
        """Delete an object and, in the background, what it owns; one that is gone already is fine."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        self._call("DELETE", path, body, missing_is_none=True)

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
        missing_is_none: bool = False,
        existing_is_fine: bool = False,
    ) -> dict[str, Any] | None:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self.api.call_api(
                    path,
                    method,
                    query_params=list(query),
                    header_params=dict(headers),
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _return_http_data_only=True,
                    _request_timeout=TIMEOUT,
                )
                found: dict[str, Any] = json.loads(answer.data)
                return found
            except ApiException as failed:
                if failed.status == 404 and missing_is_none:
                    return None
                if failed.status == 409 and existing_is_fine:
                    return None
                if failed.status not in PASSING or attempt == ATTEMPTS:
                    raise OperationFailed(
                        f"Kubernetes refused {method} {path}: {failed.status} {_message(failed)}"
                    ) from None
            except HTTPError as failed:
                if attempt == ATTEMPTS:
                    raise OperationFailed(f"Kubernetes does not answer {method} {path}: {failed}") from None
            self.sleep(min(8.0, 0.25 * 2**attempt))
        raise AssertionError("unreachable")


def _message(failed: ApiException) -> str:
    try:
        return str(json.loads(failed.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(failed.reason)
