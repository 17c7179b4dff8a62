"""Every dependency is pinned exactly, pinned to the same version everywhere, and has its reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "service/requirements.txt",
    "service/requirements-semantic.txt",
    "infra/requirements.txt",
)


def pins(file: str) -> dict[str, str]:
    """Normalised name → version; any other line than `name[extra]==version` fails."""
    found = {}
    for line in (ROOT / file).read_text().splitlines():
        if line and not line.startswith(("#", "-r ")):
            match = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", line)
            assert match, f"{file}: {line!r} is no exact pin"
            found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return found


@pytest.mark.parametrize("file", FILES)
def test_the_constraints_agree_with_every_pin(file):
    constraints = pins("constraints.txt")
    assert {name: constraints.get(name) for name in pins(file)} == pins(file)


@pytest.mark.parametrize("file", FILES)
def test_every_dependency_has_its_line_of_why(file):
    rows = re.findall(r"^\| ([\w.-]+) \| \S.*\|$", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    reasons = {re.sub(r"[-_.]+", "-", name).lower() for name in rows}
    assert set(pins(file)) - reasons == set()


def test_the_extra_semantic_is_its_requirements_file():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert dict(one.split("==") for one in extras["semantic"]) == pins("service/requirements-semantic.txt")
