"""The reference pages are what the code says today."""

from __future__ import annotations

import subprocess
import sys

import click

from docs.reference import commands, markdown, settings
from docs.reference.__main__ import PAGES, stale
from infra.cli import VERBS
from infra.home import CHECKOUT


def test_every_page_is_current():
    """In a process of its own: click remembers in a command how its help was first asked for."""
    done = subprocess.run(
        [sys.executable, "-m", "docs.reference", "--check"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_verb_has_its_help():
    text = PAGES["commands.md"]()
    assert [verb for verb in VERBS if f"## superagent {verb}\n" not in text] == []


def test_a_changed_help_makes_its_page_stale(monkeypatch):
    monkeypatch.setitem(VERBS, "doctor", ("tests.docs.test_reference:OTHER", "Something else."))
    assert "Something else." in commands.render()
    assert "commands.md" in [path.name for path in stale()]


OTHER = click.Command("doctor", help="Something else.")


def test_no_default_is_a_secret():
    text = settings.service()
    assert "`SUPERAGENT_DATABASE_URL` | secret | required" in text


def test_a_cell_cannot_break_the_table():
    assert markdown.table(("a",), [("x | y\nz",)]).splitlines()[2] == "| x \\| y z |"
