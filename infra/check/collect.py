"""Look at everything, each thing on its own: what cannot be seen is `Missing`, never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from infra.check import front, here, live, measured
from infra.check.facts import Facts, Missing, Program
from infra.check.program import program
from infra.errors import OperationFailed, UserError
from infra.home import CHECKOUT
from infra.local.layout import layout
from infra.preview.estate import Recorded, Recording
from infra.preview.estate import configuration as keys_of
from infra.release.fleets import metric_store
from infra.release.source_prometheus import StoreDown
from infra.stack import environment
from infra.stack.environment import Environment
from infra.stack.profiles import ENVIRONMENTS

T = TypeVar("T")
RUNNING: Final = (
    "listeners", "certificate_ends", "front_status", "limiter", "targets", "watchdog", "firing", "receivers",
    "backups", "drill", "traffic", "release", "secrets",
)  # fmt: skip
"""Facts that only a running environment has."""


def facts(stack: str) -> Facts:
    """Everything about `stack`. Raises `UserError` when there is no such environment."""
    if stack not in ENVIRONMENTS:
        raise UserError(f"There is no stack {stack!r}.", f"Use one of {', '.join(ENVIRONMENTS)}.")
    keys = look(lambda: keys_of(stack, {}))
    recording = look(lambda: Recording(CHECKOUT, stack, keys)) if not isinstance(keys, Missing) else keys
    env = look(lambda: environment.load(stack))
    seen = _seen(stack, env, "" if isinstance(keys, Missing) else keys.get("superagent:domain", ""))
    recorded = look(recording.result) if not isinstance(recording, Missing) else recording
    return Facts(
        environment=stack,
        local=stack == "local",
        now=datetime.now(UTC),
        **seen,
        **_program(recorded, env, stack == "local"),
    )


def look(at: Callable[[], T]) -> T | Missing:
    """What `at` returns, or why it could not be seen. No secret is in these reasons."""
    try:
        return at()
    except ClientError as refused:
        return Missing(f"{refused.operation_name}: {refused.response['Error']['Code']}")
    except UserError as said:
        return Missing(said.what.rstrip("."), said.fix)
    except OperationFailed as said:
        return Missing(said.message)
    except StoreDown as silent:
        return Missing(f"no answer from {silent}")
    except BotoCoreError as failed:
        return Missing(f"AWS cannot be asked: {type(failed).__name__}")
    except (OSError, KeyError, ValueError, TypeError, json.JSONDecodeError) as failed:
        return Missing(f"{type(failed).__name__}: {failed}")


def _seen(stack: str, env: Environment | Missing, domain: str) -> dict[str, Any]:
    """The facts of the running environment, asked side by side."""
    if isinstance(env, Missing):
        return dict.fromkeys(RUNNING, env)
    found = env
    local = found.endpoint is not None
    place = layout()
    store = look(lambda: metric_store(found))
    url = f"http://127.0.0.1:{_port()}" if local else f"https://{domain or found.outputs.alb_dns_name}"

    def metrics(ask: Callable[..., Any], *words: str) -> Any:
        return store if isinstance(store, Missing) else ask(store, *words)

    asks: dict[str, Callable[[], Any]] = {
        "listeners": lambda: live.listeners(found),
        "certificate_ends": lambda: front.certificate_ends(url),
        "front_status": lambda: front.status(url),
        "limiter": lambda: metrics(measured.limiter, stack),
        "targets": lambda: metrics(measured.targets, stack),
        "watchdog": lambda: metrics(measured.watchdog),
        "firing": lambda: metrics(measured.firing, stack, "critical"),
        "receivers": lambda: here.receivers(place) if local else live.receivers(found),
        "backups": lambda: live.backups(found),
        "drill": lambda: live.drill(found),
        "traffic": lambda: live.traffic(found),
        "release": lambda: live.release(found),
        "secrets": lambda: here.secrets(place) if local else live.secrets(found),
    }
    with ThreadPoolExecutor(len(asks)) as pool:
        return dict(zip(asks, pool.map(look, asks.values()), strict=True))


def _program(recorded: Recorded | Missing, env: Environment | Missing, local: bool) -> dict[str, Any]:
    """The program's facts, and the quotas, which need them."""
    if local:
        quotas: Any = look(lambda: here.quotas(layout()))
        return {"program": look(lambda: program(_there(recorded))), "quotas": quotas}
    if isinstance(env, Missing) or isinstance(recorded, Missing):
        return {
            "program": look(lambda: program(_there(recorded))),
            "quotas": env if isinstance(env, Missing) else recorded,
        }
    ec2 = env.client("ec2")
    found: Program | Missing = look(lambda: program(recorded, lambda name: live.vcpus_of(ec2, name)))
    if isinstance(found, Missing):
        return {"program": look(lambda: program(recorded)), "quotas": found}
    needed = found.needed_vcpus or 0
    return {"program": found, "quotas": look(lambda: live.quotas(env, needed))}


def _there(recorded: Recorded | Missing) -> Recorded:
    if isinstance(recorded, Missing):
        raise OperationFailed(recorded.why)
    return recorded


def _port() -> int:
    from infra.local.state import load

    return load().ports.get("api", 0)
