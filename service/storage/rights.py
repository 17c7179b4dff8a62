"""What the running service may do in its own database: rows, table by table, and no definition.

The schema belongs to another user, who migrates; `grant` gives the service's user its rights after every
migration. What is not here cannot be done: an audit event, once written, can be neither changed nor removed
by whoever takes the service over.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg

RIGHTS: Final[dict[str, str]] = {
    "api_keys": "select, insert, update",
    "audit_events": "select, insert",
    "debate_steps": "select, insert",
    "debates": "select, insert, update, delete",
    "key_usage": "select, insert, update",
    "refresh_tokens": "select, insert, update, delete",
    "revoked_tokens": "select, insert, delete",
    "runtime_settings": "select, insert, update, delete",
    "schema_migrations": "select",
    "usage": "select, insert, update (quality)",
}
TIMEOUT_SECONDS: Final = 30.0
_ITERATIONS: Final = 4096


class GrantFailed(Exception):
    """The owner could not make or equip the service's user; the message says why."""


async def grant(owner_url: str, service_url: str, iam: bool) -> str:
    """Make the user of `service_url` unless it is there, let it log in, give it its rights; its name.

    With `iam` it logs in by tokens of AWS, else by the URL's password. Safe to repeat. Raises `GrantFailed`.
    """
    user, password = unquote(urlsplit(service_url).username or ""), urlsplit(service_url).password
    if user == unquote(urlsplit(owner_url).username or ""):
        return user
    try:
        connection = await asyncpg.connect(
            owner_url, timeout=TIMEOUT_SECONDS, command_timeout=TIMEOUT_SECONDS
        )
        try:
            # Two nodes that migrate at once would trip over each other's rows of the catalogue.
            async with connection.transaction():
                await connection.execute("select pg_advisory_xact_lock(hashtext('superagent rights'))")
                await _login(connection, user, None if iam else unquote(password or ""))
                if iam:
                    await connection.execute(f"grant rds_iam to {_quoted(user)}")
                await connection.execute(statements(user))
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GrantFailed(f"user {user} cannot be prepared: {reason}") from None
    return user


def statements(user: str) -> str:
    """The grants as SQL."""
    lines = [f"grant usage on schema public to {_quoted(user)}"]
    lines += [f"grant {rights} on {table} to {_quoted(user)}" for table, rights in RIGHTS.items()]
    return ";\n".join(lines)


async def _login(connection: asyncpg.Connection, user: str, password: str | None) -> None:
    """Make the role, or bring it up to date where this owner may (only a maker of roles may)."""
    known = await connection.fetchrow("select rolcanlogin from pg_roles where rolname = $1", user)
    mine = await connection.fetchval(
        "select rolsuper or rolcreaterole from pg_roles where rolname = current_user"
    )
    if known is not None and known["rolcanlogin"] and not mine:
        return
    verb = "create" if known is None else "alter"
    phrase = f" password '{verifier(password)}'" if password else ""
    await connection.execute(f"{verb} role {_quoted(user)} login{phrase}")


def verifier(password: str) -> str:
    """What Postgres keeps of a password (RFC 5803): sent instead of it, no log can ever show it."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    words = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{words[0]}${words[1]}:{words[2]}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
