"""The service's environment variables and the stack's configuration keys."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from docs.reference.markdown import code, page, table
from infra.stack import schema
from service.settings import PREFIX, Settings


def service() -> str:
    """Page of the environment variables."""
    rows = [
        (
            code(f"{PREFIX}{name}".upper()),
            _type(field.annotation),
            "required" if field.is_required() else code(_default(field.default)),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
    about = (
        "Environment variables of the service. Each may also be given as a file: `<NAME>_FILE` names it, and "
        "secrets should come that way. An unknown `SUPERAGENT_` variable ends the start with exit code 2."
    )
    return page("Settings of the service", about, table(("Variable", "Type", "Default", "Meaning"), rows))


def stack() -> str:
    """Page of the keys in `Pulumi.<stack>.yaml`."""
    rows = [(code(key.name), key.type, key.default, key.about) for key in schema.described()]
    about = (
        "Keys of `Pulumi.<stack>.yaml`, each with the prefix `superagent:`. Where environments differ, the "
        "default is the profile's. A wrong or unknown key stops the program before the first resource."
    )
    return page("Configuration of a stack", about, table(("Key", "Type", "Default", "Meaning"), rows))


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "a secret"
    return "" if value in (None, PydanticUndefined) else str(value)


def _type(annotation: Any) -> str:
    text = str(annotation) if not isinstance(annotation, type) else annotation.__name__
    if "SecretStr" in text:
        return "secret"
    if "Literal" in text:
        choices = text.partition("[")[2].rstrip("]").replace("'", "")
        return " or ".join(one.strip() or "empty" for one in choices.split(","))
    known = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text"}
    if text in known:
        return known[text]
    return "file or folder" if "Path" in text else "JSON" if "dict" in text or "Json" in text else text
