"""Passwords and URLs of the local system: one value a file, readable by this user alone."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit, urlunsplit

from infra.local.layout import Layout, write

DATABASE = "superagent"
SERVICE = "superagent_service"
"""The service's own user in Postgres."""


def value(place: Layout, name: str) -> str:
    """A secret by name; made on first use."""
    path = place.secret(name)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        write(path, secrets.token_hex(24), 0o600)
        return path.read_text().strip()


def write_urls(place: Layout, ports: dict[str, int]) -> None:
    """Write what the service and the tools connect with, for today's ports.

    The service has a user of its own, with rights on rows alone; `migrate` and backups come as the owner. The
    database's name in `database_url` survives: a cutover after a restore may have changed it.
    """
    url_file = place.secret("database_url")
    name = urlsplit(url_file.read_text().strip()).path.lstrip("/") if url_file.exists() else DATABASE
    here = f"127.0.0.1:{ports['postgres']}"
    service, owner = value(place, "service_password"), value(place, "database_password")
    admin = value(place, "postgres_password")
    urls = {
        "database_url": urlunsplit(("postgresql", f"{SERVICE}:{service}@{here}", f"/{name}", "", "")),
        "database_owner_url": urlunsplit(("postgresql", f"superagent:{owner}@{here}", f"/{name}", "", "")),
        "database_admin_url": f"postgresql://postgres:{admin}@{here}/postgres",
        "redis_url": f"redis://:{value(place, 'redis_password')}@127.0.0.1:{ports['valkey']}/0",
    }
    for file, url in urls.items():
        if not place.secret(file).exists() or place.secret(file).read_text() != url:
            write(place.secret(file), url, 0o600)
