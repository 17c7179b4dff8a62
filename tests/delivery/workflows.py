"""The workflows as data: jobs, steps, and the commands inside their scripts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from infra.home import CHECKOUT

FOLDER: Final = CHECKOUT / ".github" / "workflows"
FILES: Final = sorted(FOLDER.glob("*.yml"))
ACTIONS: Final = sorted((CHECKOUT / ".github" / "actions").glob("*/action.yml"))


@dataclass(frozen=True, slots=True)
class Job:
    """One job of one workflow."""

    file: str
    name: str
    body: dict[str, Any]

    @property
    def steps(self) -> list[dict[str, Any]]:
        return list(self.body.get("steps", []))

    @property
    def reusable(self) -> bool:
        return "uses" in self.body

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


@cache
def workflow(file: str) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    found: dict[Any, Any] = yaml.safe_load((FOLDER / file).read_text())
    return {("on" if key is True else key): value for key, value in found.items()}


@cache
def jobs() -> list[Job]:
    return [
        Job(path.name, name, body) for path in FILES for name, body in workflow(path.name)["jobs"].items()
    ]


def job(file: str, name: str) -> Job:
    return next(one for one in jobs() if (one.file, one.name) == (file, name))


def credentials(one: Job) -> list[dict[str, Any]]:
    """The `with` of every step that asks AWS for credentials."""
    return [
        step["with"]
        for step in one.steps
        if str(step.get("uses", "")).startswith("aws-actions/configure-aws-credentials@")
    ]


def commands(script: str) -> Iterator[list[str]]:
    """Every simple command of a shell script, as words; substitutions count as commands of their own."""
    script = script.replace("\\\n", " ")
    for inner in re.findall(r"\$\(([^()]*)\)", script):
        yield from commands(inner)
    for line in re.sub(r"\$\([^()]*\)", "X", script).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set(";|&<>(){}"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


def scripts() -> Iterator[tuple[str, str]]:
    """Where it stands, and the script."""
    for one in jobs():
        for number, step in enumerate(one.steps):
            if "run" in step:
                yield f"{one}[{number}]", step["run"]


def text(path: Path) -> str:
    return path.read_text()
