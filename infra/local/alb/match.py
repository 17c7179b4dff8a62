"""Conditions of listener rules as Envoy route matches. Pure.

Wildcards: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

from infra.local.alb.model import Condition

CLIENT: Final = ipaddress.ip_address("127.0.0.1")
"""Every client of a listener on loopback."""
EVERYTHING: Final[dict[str, Any]] = {"prefix": "/"}


def route_match(conditions: tuple[Condition, ...]) -> dict[str, Any] | None:
    """An Envoy `RouteMatch` for all `conditions` together; `None` when none can ever match here."""
    headers: list[dict[str, Any]] = []
    for condition in conditions:
        values = condition.values
        if condition.field == "source-ip":
            if not any(CLIENT in ipaddress.ip_network(value, strict=False) for value in values):
                return None
        elif condition.field == "path-pattern":
            headers.append(_regex(":path", f"{_any_of(values)}(\\?.*)?"))
        elif condition.field == "host-header":
            headers.append(_regex(":authority", f"(?i){_any_of(values)}(:[0-9]+)?"))
        elif condition.field == "http-header":
            headers.append(_regex(condition.header.lower(), f"(?i){_any_of(values)}"))
        elif condition.field == "http-request-method":
            headers.append(_regex(":method", _any_of(values)))
        elif condition.field == "query-string":
            pairs = "|".join(_pair(key, value) for key, value in condition.pairs)
            headers.append(_regex(":path", f"(?i)[^?]*\\?(.*&)?({pairs})(&.*)?"))
        else:
            return None
    return {**EVERYTHING, "headers": headers} if headers else dict(EVERYTHING)


def cookie_match(name: str, value: str) -> dict[str, Any]:
    """A header match that is true when the cookie `name` has this value."""
    return _regex("cookie", f"(.*;\\s*)?{re.escape(name)}={re.escape(value)}(\\s*;.*)?")


def _regex(header: str, pattern: str) -> dict[str, Any]:
    return {"name": header, "string_match": {"safe_regex": {"regex": pattern}}}


def _any_of(values: tuple[str, ...]) -> str:
    return "(" + "|".join(_wildcard(value) for value in values) + ")"


def _pair(key: str, value: str) -> str:
    return f"{_wildcard(key) if key else '[^=&]*'}={_wildcard(value)}"


def _wildcard(pattern: str) -> str:
    """`*` any run of characters, `?` exactly one, everything else itself (`\\*` is a star)."""
    out, escaped = [], False
    for character in pattern:
        if escaped:
            out.append(re.escape(character))
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            out.append({"*": ".*", "?": "."}.get(character) or re.escape(character))
    return "".join(out)
