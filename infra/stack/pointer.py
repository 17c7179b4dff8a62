"""The database pointer: one SSM parameter, one grammar, `INSTANCE/DATABASE`, written and read by all parts.

The stack creates it, a cutover changes it, and whatever makes the service's `database_url` follows it. The
instance is the identifier of an RDS instance; the local server is the instance `local`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from infra.errors import UserError

LOCAL: Final = "local"
_INSTANCE: Final = r"[A-Za-z](?:-?[A-Za-z0-9]){0,62}"
"""As RDS names instances: letters, digits, single hyphens (CreateDBInstance, DBInstanceIdentifier)."""
_DATABASE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
"""Names that need no quoting in a URL or a shell; PostgreSQL cuts longer ones."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """The database in use."""

    instance: str
    database: str

    def __post_init__(self) -> None:
        if not re.fullmatch(_INSTANCE, self.instance):
            raise UserError(f"{self.instance!r} is no instance name.", "Use letters, digits and hyphens.")
        if not re.fullmatch(_DATABASE, self.database):
            raise UserError(
                f"{self.database!r} is no database name here.", "Use letters, digits and underscores."
            )

    def __str__(self) -> str:
        return f"{self.instance}/{self.database}"

    @classmethod
    def parse(cls, text: str) -> Pointer:
        """From the parameter's value; `UserError` when it is not `INSTANCE/DATABASE`."""
        instance, slash, database = text.partition("/")
        if not slash:
            raise UserError(
                f"The database pointer is {text!r}.", "It must be INSTANCE/DATABASE: local/superagent here."
            )
        return cls(instance, database)

    def to(self, text: str) -> Pointer:
        """What a person means: `INSTANCE/DATABASE`, or a database of the instance in use."""
        return Pointer.parse(text) if "/" in text else Pointer(self.instance, text)
