"""Where this tool stands: its checkout or installation, its state, the stack files it works on."""

from __future__ import annotations

import importlib.metadata
import os
import tomllib
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]
"""The folder above this package: a checkout, or `site-packages` of an installed tool."""


def installed() -> bool:
    """Whether this is `pip install .` and no checkout (also not an editable one)."""
    return not (CHECKOUT / "pyproject.toml").exists()


def home() -> Path:
    """The state folder: `SUPERAGENT_HOME`, else `.superagent` in the checkout (docs/architecture.md).

    An installed tool has no checkout: its state lies where the XDG base directory specification says.
    """
    given = os.environ.get("SUPERAGENT_HOME")
    if given:
        return Path(given).absolute()
    if not installed():
        return CHECKOUT / ".superagent"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state).absolute() / "superagent"


def project() -> Path:
    """The folder of `Pulumi.yaml` and the stack files: the checkout, else the current folder."""
    return Path.cwd() if installed() else CHECKOUT


def version() -> str:
    """The version of this tool, installed or not."""
    try:
        return importlib.metadata.version("superagent")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was never installed
        found: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
        return found
