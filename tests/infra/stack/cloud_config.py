"""The part of cloud-init's schema that our user data uses, in our own words (reference, "Modules")."""

from __future__ import annotations

from typing import Any, Final

TEXT: Final = {"type": "string", "minLength": 1}
COMMAND: Final = {"oneOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "package_update": {"type": "boolean"},
        "package_upgrade": {"type": "boolean"},
        "packages": {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
        "runcmd": {"type": "array", "items": COMMAND, "minItems": 1},
        "write_files": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["path"],
                "properties": {
                    "path": {"type": "string", "pattern": "^/"},
                    "content": {"type": "string"},
                    "owner": {"type": "string", "pattern": "^[a-z_][a-z0-9_-]*:[a-z_][a-z0-9_-]*$"},
                    # Text, not a number: YAML would read 0644 as decimal 420.
                    "permissions": {"type": "string", "pattern": "^0[0-7]{3}$"},
                    "encoding": {"enum": ["text/plain", "base64", "gzip+base64"]},
                    "append": {"type": "boolean"},
                    "defer": {"type": "boolean"},
                },
            },
        },
    },
}
