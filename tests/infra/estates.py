"""Recorded estates for tests: each combination of stack and compute runs once a test run."""

from __future__ import annotations

import fcntl
import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from infra.home import CHECKOUT
from infra.preview.estate import Recorded, Recording, configuration

CLOUD = [
    ("dev", "ec2"),
    ("dev", "eks"),
    ("staging", "ec2"),
    ("staging", "eks"),
    ("prod", "ec2"),
    ("prod", "eks"),
]
ALL = [("local", "local"), *CLOUD]


@cache
def estate(stack: str, compute: str) -> Recorded:
    """The estate of this checkout; whoever asks first runs the program, the others read its result."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    overrides = {} if compute == "local" else {"compute": compute}
    if run is None:
        return recorded(stack, overrides)
    folder = shared(run)
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / f"{stack}-{compute}").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if kept := file.read():
            found: Recorded = pickle.loads(kept)
            return found
        found = recorded(stack, overrides)
        file.write(pickle.dumps(found))
        return found


def shared(run: str) -> Path:
    """Where the workers of one run keep estates; removed when it ends (tests/conftest.py)."""
    return Path(tempfile.gettempdir()) / f"superagent-estates-{run}"


def recorded(stack: str, overrides: Mapping[str, str], checkout: Path = CHECKOUT) -> Recorded:
    """One run of the program in `checkout`."""
    return Recording(checkout, stack, configuration(stack, overrides)).result()


@contextmanager
def scratch(edits: Mapping[str, tuple[str, str]]) -> Iterator[Path]:
    """A copy of the program in which each file has one text replaced; every edit must hit."""
    folder = Path(tempfile.mkdtemp(prefix="superagent-scratch-"))
    try:
        shutil.copytree(CHECKOUT / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__"))
        for name, (old, new) in edits.items():
            path = folder / name
            text = path.read_text()
            assert len(re.findall(re.escape(old), text)) >= 1, f"{name} has no {old!r}"
            path.write_text(text.replace(old, new, 1))
        yield folder
    finally:
        shutil.rmtree(folder)
