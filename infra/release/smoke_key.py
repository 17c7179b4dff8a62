"""The API key of local smoke tests: made on the first release, kept beside the other secrets."""

from __future__ import annotations

from infra.local.keys import local_key

NAME = "release_key"


def local() -> str:
    """The key, made when this checkout has none yet."""
    return local_key(NAME, "release smoke tests", "chat", "read")
