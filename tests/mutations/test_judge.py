"""The judge, on a project of two files: it tells a noticed mutation from one that nobody sees."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.mutations.judge import judge
from tests.mutations.row import Mutation

SUM = "def total(a, b):\n    return a + b\n\ndef half(a):\n    return a / 2\n"
TESTS = """import arithmetic

def test_the_total():
    assert arithmetic.total(2, 3) == 5

def test_something_about_halves():
    assert arithmetic.half(2) is not None

def test_that_fails_anyway():
    assert False
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "arithmetic.py").write_text(SUM)
    (root / "test_arithmetic.py").write_text(TESTS)
    (root / "pytest.ini").write_text("[pytest]\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


def row(old: str, new: str, test: str) -> Mutation:
    return Mutation("arithmetic", "arithmetic.py", old, new, (f"test_arithmetic.py::{test}",))


def test_every_verdict(project: Path, tmp_path: Path) -> None:
    rows = [
        row("a + b", "a - b", "test_the_total"),
        row("a / 2", "a / 3", "test_something_about_halves"),
        row("a * b", "a", "test_the_total"),
        row("return", "print", "test_the_total"),
        row("a / 2", "a / 4", "test_that_fails_anyway"),
        row("def half(a):", "def half(a):\n    while True: pass\ndef (", "test_something_about_halves"),
    ]
    folder = tmp_path / "copies"
    verdicts = [outcome.verdict for outcome in judge(project, rows, folder, libraries=())]
    # The fourth text is there twice; the last mutation is no Python, which says nothing about a test.
    assert verdicts == ["killed", "survived", "stale", "stale", "unproven", "unproven"]
    assert (project / "arithmetic.py").read_text() == SUM
    assert not list(project.rglob("__pycache__"))
    assert not (folder / "broken").exists()
