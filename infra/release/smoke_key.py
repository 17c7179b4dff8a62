"""The API key of local smoke tests: made on the first release, kept beside the other secrets."""

from __future__ import annotations

import json
import subprocess

from infra.errors import OperationFailed
from infra.home import CHECKOUT
from infra.local import slots
from infra.local.layout import layout, write

NAME = "release_key"


def local() -> str:
    """The key, made with `python -m service create-key` when this checkout has none yet."""
    path = layout().secret(NAME)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        write(path, _create(), 0o600)
    return path.read_text().strip()


def _create() -> str:
    words = ("create-key", "--name", "release smoke tests", "--permission", "chat", "--permission", "read")
    command, environment = slots.service_command(*words)
    done = subprocess.run(
        command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise OperationFailed(f"No key for the smoke tests could be made: {lines[-1]}")
    key: str = json.loads(done.stdout)["key"]
    return key
