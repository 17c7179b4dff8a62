"""The direction of every arrow (docs/architecture.md), read from the imports themselves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# package -> the packages of this project that it may import (itself always)
GROUND = {"infra.errors", "infra.console", "infra.home", "infra.metrics"}
ALLOWED: dict[str, set[str]] = {
    "infra.stack": GROUND,
    "infra.policy": GROUND | {"infra.stack"},
    "infra.preview": GROUND | {"infra.stack", "infra.policy"},
    "infra.delivery": GROUND | {"infra.stack", "infra.policy", "infra.preview"},
    "infra.check": GROUND
    | {"infra.stack", "infra.policy", "infra.preview", "infra.local", "infra.release", "infra.recovery"},
    "infra.local": GROUND | {"infra.stack"},
    "infra.release": GROUND | {"infra.stack", "infra.local"},
    "infra.recovery": GROUND | {"infra.stack", "infra.local"},
    "infra.exporter": GROUND | {"infra.stack", "infra.local", "infra.release", "infra.recovery"},
    "infra.advise": GROUND | {"infra.stack", "infra.local", "infra.release"},
}


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize(("ours", "theirs"), [("infra", "service"), ("service", "infra")])
def test_the_two_halves_never_import_each_other(ours: str, theirs: str) -> None:
    guilty = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in (ROOT / ours).rglob("*.py")
        for module in imported_modules(path)
        if within(module, theirs)
    ]
    assert guilty == []


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_point_one_way(package: str) -> None:
    allowed = ALLOWED[package] | {package}
    guilty = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in (ROOT / package.replace(".", "/")).rglob("*.py")
        for module in imported_modules(path)
        if within(module, "infra") and module != "infra" and not any(within(module, ok) for ok in allowed)
    ]
    assert guilty == []


def test_every_migration_says_whether_the_old_version_can_live_with_it() -> None:
    header = re.compile(r"^-- superagent: (expand|contract after \S+)$", re.MULTILINE)
    files = sorted((ROOT / "service/storage/migrations").glob("*.sql"))
    assert files
    assert [path.name for path in files if not header.search(path.read_text())] == []
