"""A branch of its own, one change committed, `superagent preview --base` against where it began."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.home import CHECKOUT

pytestmark = pytest.mark.soak
AUTHOR = ["-c", "user.name=scratch", "-c", "user.email=scratch@example.com"]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *AUTHOR, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def branch(tmp_path: Path) -> Iterator[Path]:
    """A worktree on a scratch branch from this checkout's commit; what is not committed here is not in it."""
    tree = tmp_path / "scratch"
    name = f"scratch-{os.getpid()}-{tmp_path.name}"
    git(CHECKOUT, "worktree", "add", "-q", "-b", name, str(tree), "HEAD")
    yield tree
    git(CHECKOUT, "worktree", "remove", "--force", str(tree))
    git(CHECKOUT, "branch", "-q", "-D", name)


def edit(tree: Path, name: str, old: str, new: str) -> None:
    text = (tree / name).read_text()
    assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
    (tree / name).write_text(text.replace(old, new))


def preview(tree: Path, base: str) -> tuple[int, dict[str, Any]]:
    git(tree, "commit", "-q", "--no-verify", "-am", "scratch")
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "preview", "--stack", "prod", "--base", base, "--json"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def dangerous(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (one["kind"], one["name"])
        for one in found["changes"]
        if one["stateful"] and one["kind"] in ("replace", "delete")
    ]


def test_one_subnets_zone(branch: Path) -> None:
    base = git(branch, "rev-parse", "HEAD")
    edit(
        branch,
        "infra/stack/network.py",
        "availability_zone=az,",
        'availability_zone="eu-central-1b" if (tier, az) == ("data", "eu-central-1c") else az,',
    )
    _, found = preview(branch, base)
    (one,) = found["changes"]
    assert (one["kind"], one["name"]) == ("replace", "data-eu-central-1c")
    assert one["reason"] == "availabilityZone cannot change in place"
    assert [(each["path"], each["old"], each["new"]) for each in one["properties"]] == [
        ("availabilityZone", "eu-central-1c", "eu-central-1b")
    ]
    assert found["summary"]["replace"] == 1


def test_a_zone_in_the_configuration(branch: Path) -> None:
    base = git(branch, "rev-parse", "HEAD")
    edit(
        branch,
        "Pulumi.prod.yaml",
        "config:\n",
        'config:\n  superagent:availability_zones: ["eu-central-1a", "eu-central-1b", "eu-central-1d"]\n',
    )
    code, found = preview(branch, base)
    moved = [one for one in found["changes"] if one["kind"] in ("create", "delete")]
    assert {one["name"].removesuffix("d").removesuffix("c") for one in moved if "Subnet" in one["type"]} == {
        "public-eu-central-1",
        "private-eu-central-1",
        "data-eu-central-1",
    }
    assert all("eu-central-1c" in one["name"] for one in moved if one["kind"] == "delete")
    assert all("eu-central-1d" in one["name"] for one in moved if one["kind"] == "create")
    updated = [one for one in found["changes"] if one not in moved]
    assert {one["kind"] for one in updated} == {"update"}
    for one in updated:  # what names its subnets or route tables names the new ones in the old ones' place
        assert all("eu-central-1d" in each["new"] for each in one["properties"]), one["name"]
    assert (code, dangerous(found)) == (0, [])


def test_a_databases_engine_version(branch: Path) -> None:
    base = git(branch, "rev-parse", "HEAD")
    edit(branch, "Pulumi.prod.yaml", "config:\n", 'config:\n  superagent:database_version: "17.99"\n')
    code, found = preview(branch, base)
    assert [
        (one["kind"], one["component"], one["name"], [(p["path"], p["new"]) for p in one["properties"]])
        for one in found["changes"]
    ] == [("update", "database", "primary", [("engineVersion", "17.99")])]
    assert code == 0


def test_a_components_name(branch: Path) -> None:
    base = git(branch, "rev-parse", "HEAD")
    edit(branch, "infra/stack/database.py", 'super().__init__("database"', 'super().__init__("postgres"')
    code, found = preview(branch, base)
    assert sorted((one["kind"], one["type"], one["name"]) for one in found["changes"]) == [
        ("create", "superagent:stack:Database", "postgres"),
        ("delete", "superagent:stack:Database", "database"),
    ]
    assert code == 0


def test_a_components_type_would_build_its_database_anew(branch: Path) -> None:
    base = git(branch, "rev-parse", "HEAD")
    edit(branch, "infra/stack/database.py", "class Database(Component)", "class Postgres(Component)")
    path = branch / "infra/stack/database.py"
    path.write_text(path.read_text() + "\n\nDatabase = Postgres\n")
    code, found = preview(branch, base)
    assert (code, dangerous(found)) == (1, [("replace", "primary"), ("replace", "replica")])
    ours = ("stack:Database", "stack:Postgres")
    assert [one["urn"] for one in found["changes"] if not any(name in one["urn"] for name in ours)] == []
