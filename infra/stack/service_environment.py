"""The service's environment in AWS: what the stack decides, and what its `service_settings` add to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

PREFIX: Final = "SUPERAGENT_"
PER_PROCESS: Final = ("COLOUR", "VERSION", "DATABASE_OWNER_URL")
"""Given to each process by the fleet or the release, besides what `decided` says."""


def decided(
    *, environment: str, region: str, service_port: int, metrics_port: int, drain_seconds: int, secrets: str
) -> dict[str, str]:
    """Variables, without prefix, that follow from the rest of the stack; `secrets` is a folder."""
    return {
        "HOST": "0.0.0.0",  # noqa: S104 - security groups and the NetworkPolicy say who reaches it
        "PORT": str(service_port),
        "METRICS_PORT": str(metrics_port),
        "DATABASE_URL_FILE": f"{secrets}/database_url",
        "REPLICA_URL_FILE": f"{secrets}/replica_url",
        "DATABASE_IAM_REGION": region,
        "REDIS_URL_FILE": f"{secrets}/redis_url",
        "REDIS_CLUSTER": "false",
        "PROVIDERS_FILE": f"{secrets}/providers.json",
        "JOURNAL_DIR": "/var/lib/superagent/journal",
        "ENVIRONMENT": environment,
        "DRAIN_SECONDS": str(drain_seconds),
        "TRUSTED_PROXIES": "1",
    }


def owned() -> frozenset[str]:
    """Settings that `decided` or the fleets write; a stack's file cannot give them."""
    empty = decided(environment="", region="", service_port=0, metrics_port=0, drain_seconds=0, secrets="")
    names = {name.lower() for name in (*empty, *PER_PROCESS)}
    return frozenset(names | {name.removesuffix("_file") for name in names})


def given(settings: Mapping[str, Any], secret: Iterable[str] = (), secrets: str = "") -> dict[str, str]:
    """`service_settings` and `service_secrets` as variables without prefix; `secrets` as in `decided`."""
    files = {f"{name.upper()}_FILE": f"{secrets}/{name}" for name in secret}
    return {name.upper(): text(value) for name, value in settings.items()} | files


def text(value: Any) -> str:
    """A value as the service reads it from a variable: lists and mappings, true and false as in JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
