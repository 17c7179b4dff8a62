"""Every row fits the tree: its text stands there once, the broken file still parses, its tests exist."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from infra.home import CHECKOUT
from tests.mutations.areas import AREAS
from tests.mutations.row import Mutation

ROWS = [row for rows in AREAS.values() for row in rows]


@functools.cache
def functions_in(path: Path) -> frozenset[str]:
    """Names of the test functions of a file, those of classes as `Class::name`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}::{one.name}"
                for one in node.body
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return frozenset(found)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.behaviour)
def test_a_row_fits_the_tree(row: Mutation) -> None:
    assert not row.stale(CHECKOUT), row.stale(CHECKOUT)
    assert row.new != row.old
    if row.file.endswith(".py"):
        ast.parse((CHECKOUT / row.file).read_text().replace(row.old, row.new))
    assert row.tests
    for test in row.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in functions_in(CHECKOUT / file), f"{test} does not exist"


def test_no_behaviour_is_named_twice() -> None:
    names = [row.behaviour for row in ROWS]
    assert sorted(names) == sorted(set(names))
