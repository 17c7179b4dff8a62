"""Every local command of README and docs, as it stands there, on a running system.

The runbook of disaster recovery has a test of its own (test_disaster_recovery.py): its commands need a
disaster. Blocks marked `sh aws` need an account; tests/docs checks that the tool understands them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.home import CHECKOUT
from tests.docs.test_pages import FENCE, INDENTED, PAGES, STARTS
from tests.e2e.commands import SuperAgent

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(600)]

ELSEWHERE = {
    "make up": "tests/e2e/test_whole_system.py does what it does; a fresh clone does it in CI",
    "make test": "this",
    "make bench": "takes long; its parts are run by tests/benchmarks",
    "make down": "the end of every e2e file",
    "make down PURGE=1": "the end of every e2e file",
}
NEEDS_AWS = ("--stack dev --version", "upload --stack prod")
SKIPPED_PAGES = ("disaster-recovery.md", "soak.md")


def local_lines() -> list[str]:
    """Lines of `sh`, `sh local` and unmarked blocks, without prompt and comment."""
    found = []
    for page in PAGES:
        if page.name in SKIPPED_PAGES or page.parent.name == "reference":
            continue
        text = page.read_text()
        lines = [match[1] for match in INDENTED.finditer(FENCE.sub("", text))]
        for kind, block in FENCE.findall(text):
            if kind.strip() in ("", "sh", "sh local", "console"):
                lines += [line.strip() for line in block.splitlines() if STARTS.match(line.strip())]
                lines += [
                    line for line in block.splitlines() if kind == "sh local" and line.startswith("curl ")
                ]
        found += [line.removeprefix("$ ").partition("  ")[0].partition(" #")[0].strip() for line in lines]
    wanted = [line for line in found if not any(mark in line for mark in NEEDS_AWS)]
    return [line for line in dict.fromkeys(wanted) if line not in ELSEWHERE]


@dataclass(frozen=True, slots=True)
class System:
    """A running system, and a folder of commands for a shell."""

    superagent: SuperAgent
    environment: dict[str, str]

    def shell(self, line: str, seconds: float = 400) -> subprocess.CompletedProcess[str]:
        words = line.replace(".venv/bin/superagent", "superagent")
        return subprocess.run(
            ["bash", "-c", words],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=self.environment,
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("pages")
    superagent = SuperAgent(folder / "home")
    tools = folder / "bin"
    tools.mkdir()
    for name, command in (("superagent", f"{sys.executable} -m infra.cli"), ("python", sys.executable)):
        (tools / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (tools / name).chmod(0o755)
    try:
        said = json.loads(superagent.must("up", "--json"))
        path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        more = {"PATH": path, "URL": said["api"], "KEY": said["admin_key"], "HOME": str(folder)}
        yield System(superagent, superagent.environment(**more))
    finally:
        superagent.run("down", "--purge")


def test_there_are_lines_to_run():
    assert len(local_lines()) >= 12


@pytest.mark.parametrize("line", local_lines())
def test_the_line_runs(system, line):
    if line.endswith(" -f"):
        done = system.shell(f"timeout -s INT 5 {line} | head -n 1")
        assert done.stdout.strip(), done.stderr
        return
    if "> ~/" in line:
        (Path(system.environment["HOME"]) / line.partition("> ~/")[2]).parent.mkdir(parents=True)
    done = system.shell(line)
    assert done.returncode == 0, f"{line}: {done.stderr[-800:]}\n{done.stdout[-400:]}"
