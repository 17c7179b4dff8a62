"""The service's environment variables and the stack's configuration keys."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from docs.reference.markdown import code, page, table
from infra.stack import schema, service_settings
from service.settings import PREFIX, Settings

CHECKED: Final = ("default", *service_settings.TYPE)
"""What a stack checks of a value, in JSON Schema's words."""


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


def known() -> str:
    """Names, types and limits for the check of a stack's `service_settings`."""
    schema = Settings.model_json_schema()["properties"]
    forms = ",\n".join(f"  {json.dumps(name)}: {json.dumps(_form(schema[name]))}" for name in schema)
    return f"{{\n{forms}\n}}\n"


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    [schema, *_] = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if schema.get("format") == "password":
        return {"secret": True}
    if content := schema.get("contentSchema"):
        return {"type": f"{content['type']} of {content['additionalProperties']['type']}"}
    return {key: value for key, value in schema.items() if key in CHECKED}


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
