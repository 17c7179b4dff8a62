"""What the pages say can be done: links lead somewhere, commands are ones that the tools understand."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest

from infra.cli import main
from infra.home import CHECKOUT

PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
FENCE = re.compile(r"^```(.*?)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4,}(?:\$ )?((?:\.venv/bin/)?(?:superagent|make|python -m) .*)$", re.MULTILINE)
STARTS = re.compile(r"^(?:\$ )?((?:\S+=\S+ )*(?:\.venv/bin/)?(?:superagent|make|python -m)\b.*)$")


def commands(page: Path) -> list[str]:
    """Command lines of a page: of its fenced blocks that are shell, and of its indented ones."""
    text = page.read_text()
    found = [match[1] for match in INDENTED.finditer(FENCE.sub("", text))]
    for kind, block in FENCE.findall(text):
        if kind.strip().partition(" ")[0] in ("", "sh", "console"):
            found += [match[1] for line in block.splitlines() if (match := STARTS.match(line.strip()))]
    return found


def understood(line: str) -> None:
    """Raises when no tool of this project takes the line as it stands."""
    line = re.split(r" {2,}#| #| {3,}|(?<!\\)\||>", line)[0].removesuffix("\\").strip()
    words = [word for word in shlex.split(line) if not re.match(r"^[A-Z_]+=", word)]
    if words[0] == "make":
        assert set(words[1:]) <= TARGETS, f"no such target: {line}"
    elif words[0].startswith("python"):
        assert importlib.util.find_spec(words[2]), f"no such module: {line}"
    else:
        parse(main, words[1:])


def parse(command: click.Command, words: list[str]) -> None:
    context = click.Context(main)
    name = "superagent"
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, words = words[0], words[1:]
        found = command.get_command(context, name)
        assert found is not None, f"there is no verb {name}"
        command = found
    if words in (["--help"], ["--version"]) or isinstance(command, click.Group):
        return
    command.make_context(name, words, resilient_parsing=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_command_is_one_that_the_tools_understand(page):
    if page.parent.name == "reference":
        pytest.skip("made from the code")
    wrong = []
    for line in commands(page):
        try:
            understood(line)
        except (AssertionError, click.ClickException, ValueError) as refused:
            wrong.append(f"{line}: {refused}")
    assert wrong == []


def test_the_reader_of_commands_sees_them_and_refuses_wrong_ones():
    assert len(commands(CHECKOUT / "README.md")) >= 5
    understood("superagent release start --version v2   # a comment")
    for wrong in (
        "superagent relase start",
        "superagent up --prot 1",
        "make everything",
        "python -m infra.nothing",
    ):
        with pytest.raises((AssertionError, click.ClickException)):
            understood(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", FENCE.sub("", page.read_text()))
    here = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    assert [link for link in here if not (page.parent / link).exists()] == []


def test_every_page_can_be_reached_from_the_start():
    seen: set[Path] = set()
    waiting = [CHECKOUT / "docs" / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
            target = (page.parent / link).resolve()
            waiting += sorted(target.glob("*.md")) if target.is_dir() else [target]
    assert [str(page.relative_to(CHECKOUT)) for page in PAGES if page.resolve() not in seen] == []
