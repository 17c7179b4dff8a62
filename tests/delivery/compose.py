"""docker-compose.yml as an engine would see it: variables filled in, merges resolved."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import yaml

from infra.home import CHECKOUT

FILE: Final = CHECKOUT / "docker-compose.yml"
FOLDER: Final = CHECKOUT / "compose"
ONCE: Final = ("certs", "migrate")
"""Services that end."""
VARIABLE: Final = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def filled(text: str, environment: dict[str, str]) -> str:
    """Compose's interpolation, as far as the file uses it: `${A}`, `${A:-default}`, `${A:?message}`, `$$`."""

    def value(match: re.Match[str]) -> str:
        name, how, word = match.groups()
        if name is None:
            return "$"
        found = environment.get(name, "")
        if not found and how == "?":
            raise KeyError(f"{name}: {word}")
        return found or (word if how == "-" else "")

    return VARIABLE.sub(value, text)


def rendered(environment: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(filled(FILE.read_text(), environment))
    return found


@cache
def document() -> dict[str, Any]:
    return rendered({"SUPERAGENT_VERSION": "v1"})


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = document()["services"]
    return found
