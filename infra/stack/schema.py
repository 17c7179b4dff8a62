"""The configuration keys as Pulumi.yaml documents them, made from the settings themselves.

    python -m infra.stack.schema        rewrite the comment block in Pulumi.yaml

Comments and not Pulumi's own `config:` section: a key that is typed there without a default must be set in
every stack, and with a default it would override the profiles.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from infra.home import CHECKOUT
from infra.stack.naming import PROJECT
from infra.stack.profiles import ENVIRONMENTS, TABLE
from infra.stack.settings import Settings

PROJECT_FILE: Final = CHECKOUT / "Pulumi.yaml"
BEGIN: Final = "# --- configuration keys, written by `python -m infra.stack.schema` ---"
WIDTH: Final = 108


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key in words."""

    name: str
    type: str
    default: str
    about: str


def described() -> Iterator[Key]:
    """Every key: name, type and limits, default or the profiles' values, meaning."""
    schema = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        if name == "environment":
            default = "the stack's name"
        elif name in TABLE:
            cells = zip(ENVIRONMENTS, TABLE[name], strict=True)
            default = "; ".join(f"{environment} {_text(value)}" for environment, value in cells)
        else:
            default = f"default {_text(field.default)}"
        yield Key(name, _type(schema[name]), default, field.description or "")


def keys() -> str:
    """The comment block: one paragraph a key."""
    lines = [BEGIN]
    for key in described():
        about = f"{PROJECT}:{key.name}  ({key.type})  {key.default}. {key.about}".rstrip()
        lines += textwrap.wrap(
            about, WIDTH, initial_indent="# ", subsequent_indent="#     ", break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if value == {}:
        return "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    if isinstance(value, bool) or value is None:  # 1 is no bool, although it equals True
        return {None: "none", True: "true", False: "false"}[value]
    return str(value) if value != "" else "–"


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in few words."""
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return "list"
    limits = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("pattern", "like"))
        if key in schema
    ]
    return " ".join([str(schema.get("type", "value")), *limits])


def document() -> str:
    """Pulumi.yaml with the block as it should be."""
    head = PROJECT_FILE.read_text().split(BEGIN)[0]
    return head + keys()


if __name__ == "__main__":
    PROJECT_FILE.write_text(document())
