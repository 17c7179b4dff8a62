"""From Pulumi's raw configuration to `Settings`, or a sentence about what is wrong with it.

`load` refuses an unknown, malformed or inconsistent key with key, value, rule and fix, before the first
resource exists.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from infra.errors import UserError
from infra.stack import rules
from infra.stack.naming import PROJECT
from infra.stack.profiles import ENVIRONMENTS, profile
from infra.stack.settings import Settings

NAMESPACE: Final = f"{PROJECT}:"
UNSHOWN: Final = ("service_settings", "service_secrets")
"""Somebody will paste a secret there one day."""
FOREIGN_NAMESPACES: Final = ("aws:", "kubernetes:", "pulumi:")
"""Keys of providers and of Pulumi itself may stand beside ours."""


def load(stack: str, config: Mapping[str, str]) -> Settings:
    """Settings of `stack` from Pulumi configuration (`superagent:key` → text or JSON).

    The stack's name is the environment unless `superagent:environment` says otherwise. Raises `UserError`.
    """
    raw = {
        key.removeprefix(NAMESPACE): _value(key.removeprefix(NAMESPACE), text)
        for key, text in config.items()
        if not key.startswith(FOREIGN_NAMESPACES)
    }
    unknown = sorted(set(raw) - set(Settings.model_fields))
    if unknown:
        raise _unknown(unknown[0], raw[unknown[0]])
    environment = raw.get("environment", stack)
    if environment not in ENVIRONMENTS:
        raise UserError(
            f"superagent:environment is {environment!r}; it must be one of {', '.join(ENVIRONMENTS)}.",
            "Name the stack like its environment or set the key.",
        )
    if "aws:region" in config:
        raw.setdefault("region", config["aws:region"])
    merged = {**profile(environment), **raw, "environment": environment}
    try:
        settings = Settings(**merged)
    except ValidationError as invalid:
        raise _malformed(invalid) from None
    for violation in rules.violations(settings):
        raise UserError(
            f"superagent:{violation.key} is {violation.value!r}: {violation.rule}.", violation.fix
        )
    return settings


def _value(key: str, text: str) -> Any:
    """Lists and objects arrive as JSON, everything else as text that pydantic reads."""
    if text[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except ValueError as broken:
        raise UserError(
            f"superagent:{key} is {_shown(key, text)}, which is no JSON ({broken}).",
            "Write it as a JSON list or object.",
        ) from None


def _shown(key: str, value: Any) -> str:
    return "[not shown]" if key.startswith(UNSHOWN) else repr(value)


def _unknown(key: str, value: Any) -> UserError:
    close = difflib.get_close_matches(key, Settings.model_fields, n=1)
    return UserError(
        f"superagent:{key} is {_shown(close[0] if close else key, value)}, but no such key exists.",
        f"Did you mean superagent:{close[0]}?" if close else "Pulumi.yaml lists every key; remove this one.",
    )


def _malformed(invalid: ValidationError) -> UserError:
    first = invalid.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    rule = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "missing":
        return UserError(
            f"superagent:{key} is missing.", f"Set it: pulumi config set superagent:{key} VALUE."
        )
    if first["type"] == "tuple_type":
        return UserError(
            f"superagent:{key} is {_shown(key, first['input'])}, which is no list.",
            f"Write it as a JSON list: ['{'NAME' if key in UNSHOWN else first['input']}'].".replace("'", '"'),
        )
    return UserError(
        f"superagent:{key} is {_shown(key, first['input'])}: {rule}.",
        f"Mend it: pulumi config set superagent:{key} VALUE.",
    )


def pulumi_config() -> dict[str, str]:
    """All configuration keys of the running stack, ours and foreign ones."""
    from pulumi.runtime import config

    return {**config.get_config_env(), **config.CONFIG.get()}
