"""Clients of an emulated AWS, and what every maker of a resource needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.stack.offline import Registration

Made = tuple[str, dict[str, Any]]
EMULATED_CREDENTIALS: Final[dict[str, Any]] = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
"""The emulator takes any, but a client will not start without."""
ACCOUNT: Final = "123456789012"
"""The account every emulator speaks for."""


@dataclass(slots=True)
class Aws:
    """boto3 clients of one emulated region, made once each (making one takes longer than using it)."""

    endpoint: str
    region: str
    session: boto3.Session = field(default_factory=lambda: boto3.Session(**EMULATED_CREDENTIALS))
    clients: dict[str, Any] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def __getitem__(self, service: str) -> Any:
        with self.lock:
            if service not in self.clients:
                make: Any = self.session.client
                self.clients[service] = make(
                    service,
                    region_name=self.region,
                    endpoint_url=self.endpoint,
                    # No proxy: HTTP_PROXY never may catch a call to loopback.
                    config=Config(connect_timeout=3, read_timeout=20, max_pool_connections=32, proxies={}),
                )
            return self.clients[service]


Maker = Callable[[Aws, Registration], Made]


def pairs(tags: dict[str, str] | None) -> list[dict[str, str]]:
    """A map of tags in the form that most AWS APIs want."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def missing(error: ClientError) -> bool:
    """Whether AWS says that the thing is not there (the codes differ from service to service)."""
    code = error.response["Error"]["Code"]
    return "NotFound" in code or code.startswith("NoSuch") or code == "404"


def by_tags(registration: Registration) -> list[dict[str, Any]]:
    """EC2 filter for the resource of this name; names are unique within type and environment."""
    tags = registration.inputs["tags"]
    return [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in ("Name", "Environment")]


def tag_specification(kind: str, registration: Registration) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": pairs(registration.inputs["tags"])}]
