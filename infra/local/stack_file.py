"""What a person configured for the local stack: the keys of Pulumi.local.yaml, as Pulumi would read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import yaml

from infra.errors import UserError
from infra.home import project
from infra.stack import configuration

FILE: Final = "Pulumi.local.yaml"


def keys(file: Path | None = None) -> dict[str, str]:
    """The `superagent:` keys without their namespace, as texts. Raises `UserError` for a broken file
    and for a key that the program would refuse."""
    file = file or project() / FILE
    try:
        found = yaml.safe_load(file.read_text()) or {}
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as broken:
        raise UserError(f"{file.name} is not YAML: {broken}.", "Mend it, then try again.") from None
    config = found.get("config") if isinstance(found, dict) else None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise UserError(f"{file.name}: config is {config!r}.", "Write one key a line below it.")
    ours = {
        str(key): value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
        if str(key).startswith(configuration.NAMESPACE)
    }
    if ours:
        configuration.load("local", ours)
    return {key.removeprefix(configuration.NAMESPACE): text for key, text in ours.items()}
