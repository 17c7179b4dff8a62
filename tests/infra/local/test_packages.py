"""Optional parts from the distribution: unpacked without root, or one line that says why not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.local import packages, parts

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb comes with Debian")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parts.forget()
    yield tmp_path / "cache" / "superagent" / "parts"
    parts.forget()


def pretend_apt(folder: Path, script: str, monkeypatch) -> None:
    """An apt-get that does as `script` says; everything else on PATH is real."""
    folder.mkdir()
    for tool in ("dpkg-deb", "sh", "tar", "cp", "rm", "echo"):
        if path := shutil.which(tool):
            (folder / tool).symlink_to(path)
    (folder / "apt-get").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def package(tmp_path: Path, part: parts.Part) -> Path:
    """A real .deb that holds a program of the right name."""
    tree = tmp_path / f"tree-{part.name}"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "DEBIAN").mkdir()
    program = tree / "usr/bin" / part.binary
    program.write_text("#!/bin/sh\necho version 1.45.0\n")
    program.chmod(0o755)
    fields = {
        "Package": part.package,
        "Version": "1.45.0-2",
        "Architecture": "all",
        "Maintainer": "a <a@b.c>",
    }
    control = "".join(f"{key}: {text}\n" for key, text in fields.items()) + "Description: a test\n"
    (tree / "DEBIAN/control").write_text(control)
    made = tmp_path / f"{part.package}_1.45.0-2_all.deb"
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", tree, made], check=True, capture_output=True)
    return made


def test_a_package_is_unpacked_into_the_cache_and_found(tmp_path, monkeypatch, cache):
    part = parts.BY_NAME["redis_exporter"]
    made = package(tmp_path, part)
    pretend_apt(tmp_path / "bin", f'case "$*" in *download*) cp {made} . ;; esac', monkeypatch)
    cache.mkdir(parents=True)
    packages.install([part], cache)
    parts.forget()
    found = parts.find("redis_exporter")
    assert found is not None
    assert found.path == cache / "redis_exporter-1.45.0-2/usr/bin/prometheus-redis-exporter"
    assert [entry.name for entry in cache.iterdir()] == ["redis_exporter-1.45.0-2"]


def test_without_network_one_line_says_what_is_missing_and_it_is_not_tried_again(
    tmp_path, monkeypatch, cache, capsys
):
    calls = tmp_path / "calls"
    pretend_apt(
        tmp_path / "bin",
        f"echo x >> {calls}; echo 'E: Temporary failure resolving mirror.invalid' >&2; exit 100",
        monkeypatch,
    )
    packages.fetch_once()
    said = capsys.readouterr().err
    assert "Temporary failure resolving mirror.invalid" in said
    assert "prometheus" in said
    assert len(said.strip().splitlines()) == 1
    packages.fetch_once()
    assert calls.read_text() == "x\n"
    assert list(cache.iterdir()) == [cache / "tried"]


def test_a_system_without_apt_is_told_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages.fetch() is False
    assert "no apt-get" in capsys.readouterr().err
