"""API keys of the local system's own tools: made when first needed, kept beside the other secrets."""

from __future__ import annotations

import json
import subprocess

from infra.errors import OperationFailed
from infra.home import CHECKOUT
from infra.local import slots
from infra.local.layout import layout, write


def local_key(secret: str, title: str, *permissions: str) -> str:
    """The key in `secrets/<secret>`, made with `python -m service create-key` when this checkout has none."""
    path = layout().secret(secret)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        key = _create(title, permissions)
        write(path, key, 0o600)
        return key


def _create(title: str, permissions: tuple[str, ...]) -> str:
    words = ["create-key", "--name", title]
    for permission in permissions:
        words += ["--permission", permission]
    command, environment = slots.service_command(*words)
    done = subprocess.run(
        command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise OperationFailed(f"No key for {title} could be made: {lines[-1]}")
    key: str = json.loads(done.stdout)["key"]
    return key
