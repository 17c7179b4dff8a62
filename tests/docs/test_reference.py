"""The reference pages are what the code says today."""

from __future__ import annotations

import click

from docs.reference import commands, markdown, settings
from docs.reference.__main__ import PAGES, stale
from infra.cli import VERBS


def test_every_page_is_current():
    assert [path.name for path in stale()] == [], "run `python -m docs.reference`"


def test_every_verb_has_its_help():
    text = PAGES["commands.md"]()
    assert [verb for verb in VERBS if f"## superagent {verb}\n" not in text] == []


def test_a_changed_help_makes_its_page_stale(monkeypatch):
    monkeypatch.setitem(VERBS, "doctor", ("tests.docs.test_reference:OTHER", "Something else."))
    assert "Something else." in commands.render()
    assert [path.name for path in stale()] == ["commands.md"]


OTHER = click.Command("doctor", help="Something else.")


def test_no_default_is_a_secret():
    text = settings.service()
    assert "`SUPERAGENT_DATABASE_URL` | secret | required" in text


def test_a_cell_cannot_break_the_table():
    assert markdown.table(("a",), [("x | y\nz",)]).splitlines()[2] == "| x \\| y z |"
