"""A release outlives the job that began it: handed over while it lingers, never before."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.delivery import drive as module
from infra.delivery.drive import LINGER, Patience, drive
from infra.release.state import Phase

TOOL = """
import json, pathlib, signal, sys, time
folder = pathlib.Path({folder!r})
if "status" in sys.argv:
    run = {{"phase": (folder / "phase").read_text()}}
    print(json.dumps({{"run": run}}))
    sys.exit()
def interrupted(*_):
    (folder / "interrupted").touch()
    sys.exit({code})
signal.signal(signal.SIGINT, interrupted)
(folder / "words").write_text(" ".join(sys.argv[1:]))
deadline = time.monotonic() + 60
while not (folder / "end").exists() and time.monotonic() < deadline:
    time.sleep(0.02)
sys.exit(int((folder / "end").read_text()))
"""


def tool(folder: Path, phase: str, code: int = 130) -> tuple[str, ...]:
    """A `superagent` that releases until it is interrupted or `end` says how it ended."""
    (folder / "phase").write_text(phase)
    (folder / "tool.py").write_text(TOOL.format(folder=str(folder), code=code))
    return (sys.executable, str(folder / "tool.py"))


def test_the_word_is_the_release_tools() -> None:
    assert Phase.LINGER == LINGER


def test_patience_begins_with_lingering_and_anew_when_it_lingers_again() -> None:
    patience = Patience(10)
    assert not patience.over("bake", 0)
    assert not patience.over(LINGER, 100)
    assert not patience.over(None, 105)
    assert not patience.over("bake", 106)
    assert not patience.over(LINGER, 111)
    assert not patience.over(LINGER, 120.9)
    assert patience.over(LINGER, 121)


def test_a_lingering_release_is_interrupted_and_handed_over(tmp_path: Path) -> None:
    found = drive("prod", ["start", "--image", "x:v2"], Patience(0), tool(tmp_path, LINGER), look=0.5)
    assert found == (0, True)
    assert (tmp_path / "interrupted").exists()
    assert (tmp_path / "words").read_text() == "release start --image x:v2 --stack prod --json"


@pytest.mark.parametrize(("end", "phase"), [("0", "record"), ("1", "bake"), ("1", LINGER)])
def test_a_release_that_ends_by_itself_keeps_its_exit_code(tmp_path: Path, end: str, phase: str) -> None:
    (tmp_path / "end").write_text(end)
    assert drive("prod", ["start"], Patience(3600), tool(tmp_path, phase), look=0.1) == (int(end), False)
    assert not (tmp_path / "interrupted").exists()


def test_a_release_that_fails_when_it_is_interrupted_is_no_success(tmp_path: Path) -> None:
    assert drive("prod", ["start"], Patience(0), tool(tmp_path, LINGER, code=1), look=0.5) == (1, False)


def test_the_next_job_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    monkeypatch.setattr(module, "drive", lambda *_: (0, True))
    done = CliRunner().invoke(module.main, ["--stack", "prod", "--", "start", "--image", "x:v2"])
    assert done.exit_code == 0
    assert output.read_text() == "handed_over=true\n"


def test_only_what_drives_can_be_driven() -> None:
    assert CliRunner().invoke(module.main, ["--stack", "prod", "--", "abort"]).exit_code == 2
