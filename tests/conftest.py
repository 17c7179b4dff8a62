"""Fixtures that every folder may use: the real parts, started once per run on free loopback ports."""

from __future__ import annotations

import shutil
import uuid

import pytest

from tests.infra.estates import shared

pytest_plugins = ["tests.parts"]


def pytest_configure(config: pytest.Config) -> None:
    """The run has a name before its workers start, so that they can share what only one needs to make."""
    if not hasattr(config, "workerinput"):
        config.option.testrunuid = getattr(config.option, "testrunuid", None) or uuid.uuid4().hex


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The workers are gone: what they shared goes, too."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(shared(session.config.option.testrunuid), ignore_errors=True)
