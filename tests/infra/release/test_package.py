"""Packages: the same bytes every time, complete, and a tag that never changes its content."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.errors import UserError
from infra.home import CHECKOUT
from infra.release import package, sbom

ENGINE = """#!/bin/sh
# an image builder that knows one image
echo "$@" >> {log}
case "$1 $2 $3" in
  "info  ") exit {info} ;;
  "image inspect superagent:v1") exit 0 ;;
  "image inspect "*) exit 1 ;;
esac
exit 0
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake `docker` first on PATH; returns its log."""
    log = tmp_path / "log"
    binary = tmp_path / "bin" / "docker"
    binary.parent.mkdir()
    binary.write_text(ENGINE.format(log=log, info=0))
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binary.parent}:/usr/bin:/bin")
    return log


def wheel(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, name)
    return path


def test_the_order_and_time_of_the_builder_leave_no_trace(tmp_path: Path) -> None:
    first = package.normalised(wheel(tmp_path / "a.whl", ["x.py", "y.py"]), tmp_path / "1.whl")
    second = package.normalised(wheel(tmp_path / "b.whl", ["y.py", "x.py"]), tmp_path / "2.whl")
    assert first.read_bytes() == second.read_bytes()
    assert zipfile.ZipFile(first).read("x.py") == b"x.py"


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_two_builds_are_the_same_bytes_and_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = package.build_wheel(tmp_path)
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    monkeypatch.setenv("LC_ALL", "C")
    (tmp_path / "elsewhere").mkdir()
    before = os.umask(0o077)
    try:
        second = package.build_wheel(tmp_path / "elsewhere")
    finally:
        os.umask(before)
    assert package.digest(first) == package.digest(second)
    names = set(zipfile.ZipFile(first).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "infra", "service", "alerts", "dashboards"],
        cwd=CHECKOUT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    code = {name for name in tracked if name.endswith(".py") and "/tests/" not in name}
    assert code - names == set()
    assert {"infra/release/smoke.yaml", "service/Dockerfile"} <= names
    assert any(name.startswith("alerts/rules/") for name in names)


def test_an_image_is_built_from_the_dockerfile_with_version_and_commit(engine: Path) -> None:
    assert package.find_builder() == "docker"
    assert package.build_image("docker", "superagent:v2", "v2") == "superagent:v2"
    built = engine.read_text().splitlines()[-1]
    assert "-f service/Dockerfile -t superagent:v2" in built
    assert "VERSION=v2" in built
    assert f"REVISION={package.commit()}" in built


def test_a_tag_is_never_built_over(engine: Path) -> None:
    with pytest.raises(UserError, match="immutable"):
        package.build_image("docker", "superagent:v1", "v1")
    assert "build" not in engine.read_text().replace("builder", "")


def test_a_builder_whose_engine_does_not_answer_is_none(tmp_path: Path, engine: Path) -> None:
    (tmp_path / "bin" / "docker").write_text(ENGINE.format(log=engine, info=1))
    assert package.find_builder(which=lambda name: name if name == "docker" else None) is None


def test_uncommitted_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "dirty", lambda: ["infra/cli.py"])
    done = CliRunner().invoke(package.package, ["--no-image"])
    assert done.exit_code == 2
    assert "infra/cli.py" in done.stderr


def test_a_dry_run_builds_nothing(tmp_path: Path, engine: Path) -> None:
    output = tmp_path / "dist"
    done = CliRunner().invoke(
        package.package, ["--dry-run", "--allow-dirty", "--version", "v2", "--output", str(output)]
    )
    assert done.exit_code == 0, done.output
    assert "superagent:v2 with docker" in done.stdout
    assert not output.exists()


def test_the_bill_names_every_package_that_the_image_installs_with_its_version(tmp_path: Path) -> None:
    found = json.loads(package.write_sbom(tmp_path, "v2").read_text())
    listed = {one["name"]: one["version"] for one in found["components"]}
    for line in (CHECKOUT / "service" / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert listed[sbom.normal(name.partition("[")[0])] == version
    assert "anyio" in listed  # starlette needs it
    assert "pytest" not in listed
    assert found["specVersion"] == "1.6"
    assert all(one["purl"].startswith("pkg:pypi/") for one in found["components"])


def test_the_bill_is_the_same_twice_and_its_script_needs_nothing_but_python() -> None:
    script = CHECKOUT / "infra" / "release" / "sbom.py"
    run = [sys.executable, str(script)]
    first = subprocess.run(run, check=True, capture_output=True, cwd="/").stdout
    assert first == subprocess.run(run, check=True, capture_output=True, cwd="/").stdout
    assert json.loads(first)["bomFormat"] == "CycloneDX"


@pytest.mark.parametrize("package", ["service", "infra"])
def test_the_dockerfile_is_clean(package: str) -> None:
    done = subprocess.run(
        [_hadolint(), CHECKOUT / package / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_dockerfile_keeps_its_promises() -> None:
    text = (CHECKOUT / "service" / "Dockerfile").read_text()
    assert text.count("FROM ") == 2
    assert "USER 10001:10001" in text
    assert "HEALTHCHECK" in text
    assert "ADD " not in text
    final = text.rpartition("FROM ")[2]
    assert "pip install" not in final
    assert "RUN " not in final


def _hadolint() -> Path:
    return Path(sysconfig.get_path("scripts")) / "hadolint"
