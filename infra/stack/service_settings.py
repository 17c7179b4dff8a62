"""What a stack may give the service: names, values, and how they fit to the rest of it.

`infra` does not import `service`: what the service takes stands in `service_settings.json` beside this file,
written from the service's own settings by `python -m docs.reference` (a test compares).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from infra.stack.service_environment import PREFIX, given, owned, text
from infra.stack.settings import Settings

KNOWN: Final = Path(__file__).with_name("service_settings.json")
KEY: Final = "service_settings"
NAMED: Final = "service_secrets"
LIMIT_BYTES: Final = 4096
"""Of all settings together. EC2 takes 16 KiB of user data; the rest fills a quarter of them, compressed."""

ALIVE: Final = "keep_alive_seconds"
TIMEOUT: Final = "request_timeout_seconds"
HIDDEN: Final = "(not shown)"
Problem = tuple[str, Any, str, str]
"""Key below `superagent:`, value, rule, fix."""

_NAME: Final = re.compile(r"[a-z_]{1,40}")
"""What may be a name mistyped; anything else may be the secret itself."""
_PRINTABLE: Final = re.compile(r"[ -~]*")
_LOGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*@", re.IGNORECASE)
_TLS: Final = re.compile(r"https://[^/?#:\[\]]+(:443)?([/?#].*)?")
_TYPES: Final = {"integer": int, "number": float, "boolean": bool, "string": str}
_JSON: Final = {"object of integer": dict[str, int]}
_LIMITS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "maxLength": "max_length",
    "pattern": "pattern",
}
TYPE: Final = ("type", "enum", *_LIMITS)
"""Words of `service_settings.json` that say which values a setting takes."""


@cache
def known() -> dict[str, dict[str, Any]]:
    """Every setting of the service: its type and limits in JSON Schema's words, or `secret`."""
    found: dict[str, dict[str, Any]] = json.loads(KNOWN.read_text())
    return found


def free() -> list[str]:
    """Settings that a stack may give."""
    return [name for name, form in known().items() if name not in owned() and not form.get("secret")]


def wrong(settings: Settings) -> Iterator[Problem]:
    """What is wrong with `service_settings`: each name, each value, their size, times that do not fit."""
    ours = settings.service_settings
    yield from _secrets(settings)
    if settings.local and ours:
        fix = f"Remove it; `superagent up` passes on its own {PREFIX}* variables."
        yield KEY, ", ".join(ours), "the stack local starts no fleet", fix
        return
    bad = False
    for name, value in ours.items():
        if problem := _name(name) or _value(name, value):
            bad = True
            yield f"{KEY}.{name}", *problem
    if not bad and not settings.local:
        yield from _together(settings)


def _secrets(settings: Settings) -> Iterator[Problem]:
    names = settings.service_secrets
    free = [name for name, form in known().items() if form.get("secret") and name not in owned()]
    for name in dict.fromkeys(names):
        if name not in free:
            rule = "not a secret of the service that a stack may give"
            yield NAMED, name if _NAME.fullmatch(name) else HIDDEN, rule, f"Name some of {', '.join(free)}."
        elif names.count(name) > 1:
            yield NAMED, list(names), f"{name} counts once", "Name it once."
    if settings.local and names:
        yield NAMED, list(names), "the stack local starts no fleet", "Remove it."


def _together(settings: Settings) -> Iterator[Problem]:
    ours = settings.service_settings
    size = sum(len(f"{PREFIX}{name}={value}\n") for name, value in given(ours).items())
    if size > LIMIT_BYTES:
        rule = f"an instance's user data has room for {LIMIT_BYTES} bytes of them"
        yield KEY, f"{size} bytes long", rule, "Leave out what is the service's default."
    alive, idle = float(ours.get(ALIVE, known()[ALIVE]["default"])), settings.idle_timeout_seconds
    if alive <= idle:
        yield (
            f"{KEY}.{ALIVE}",
            alive,
            f"the load balancer uses an idle connection for {idle} s and would write into a closed one",
            f"Set it to at least {idle + 10}, or lower superagent:idle_timeout_seconds.",
        )
    timeout, stream = float(ours.get(TIMEOUT, 0)), settings.longest_stream_seconds
    if timeout > stream:
        yield (
            f"{KEY}.{TIMEOUT}",
            timeout,
            f"a release would cut off answers that take longer than {stream} s",
            f"Set it to at most {stream}, or raise superagent:longest_stream_seconds.",
        )


def _name(name: str) -> tuple[Any, str, str] | None:
    """A value under a wrong name may be a secret, so it is not shown."""
    plain = name.lower().removeprefix(PREFIX.lower())
    setting = plain.removesuffix("_file") if plain.removesuffix("_file") in known() else plain
    if setting in owned():
        return HIDDEN, "this stack decides it itself", "Remove it."
    if setting not in known():
        close = difflib.get_close_matches(plain, free(), n=1)
        fix = f"Did you mean {close[0]}?" if close else "docs/reference/settings.md lists all."
        return HIDDEN, "the service has no such setting", fix
    if known()[setting].get("secret"):
        rule = "a secret stands neither in a stack's file nor in user data or a ConfigMap"
        return HIDDEN, rule, f"Remove it, and add {setting} to superagent:{NAMED}."
    if name != setting:
        return HIDDEN, "settings are named in lower case, without prefix and `_FILE`", f"Write {setting}."
    return None


def _value(name: str, value: Any) -> tuple[Any, str, str] | None:
    fix = f"Mend it: pulumi config set --path 'superagent:{KEY}.{name}' VALUE."
    if value is None or value == "":
        return value, "the service would take its default", "Remove it, or give a value."
    written = text(value)
    if not _PRINTABLE.fullmatch(written):
        return value, "a variable here is one line of printable ASCII", fix
    if _LOGIN.search(written):
        return HIDDEN, "a URL with a login is a secret", "Give the URL without user and password."
    if name.endswith("_url") and not _TLS.fullmatch(written):
        rule = "the network lets the service out to HTTPS on port 443 alone"
        return value, rule, "Write https://HOST/PATH; a receiver without TLS needs a proxy that has it."
    try:
        if known()[name]["type"] in _JSON:
            _adapter(name).validate_json(written)
        else:
            _adapter(name).validate_python(written)
    except ValidationError as invalid:
        rule = invalid.errors()[0]["msg"]
        return value, f"the service would refuse it: {rule[:1].lower()}{rule[1:]}", fix
    return None


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    """The check that the service itself makes of the variable's text."""
    form = known()[name]
    kind: Any = Literal[tuple(form["enum"])] if "enum" in form else (_TYPES | _JSON)[form["type"]]
    limits: dict[str, Any] = {_LIMITS[word]: limit for word, limit in form.items() if word in _LIMITS}
    return TypeAdapter(Annotated[kind, Field(**limits)])
