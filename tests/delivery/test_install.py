"""`pip install .` gives a whole tool: every file that it reads comes with it."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import home
from infra.home import CHECKOUT
from infra.local.parts import PARTS
from infra.release import package

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
# What no running tool reads: sources of other programs and what only describes.
LEFT_OUT = {".gitignore", "Dockerfile.dockerignore"}


def tracked(*folders: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *folders], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    return [name for name in listed.split("\0") if name and (CHECKOUT / name).is_file()]


def test_every_file_of_the_four_packages_is_packed() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    missing = [
        name
        for name in tracked("infra", "service", "alerts", "dashboards")
        if not name.endswith(".py")
        and Path(name).name not in LEFT_OUT
        and not any(fnmatch.fnmatch(Path(name).name, pattern) for pattern in patterns)
    ]
    assert missing == []


def test_the_wheel_is_made_of_what_pyproject_packs() -> None:
    packed = {one.rstrip("*") for one in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packed <= set(package.WHEEL_SOURCES)


def test_the_extra_local_names_the_parts_that_are_wheels() -> None:
    table = {f"{one.wheel.distribution}=={one.wheel.version}" for one in PARTS if one.wheel}
    assert set(PROJECT["project"]["optional-dependencies"]["local"]) == table


def test_what_a_checkout_installs_is_what_the_package_asks_for() -> None:
    files = PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"]["file"]
    included = [
        line.removeprefix("-r ")
        for line in (CHECKOUT / "requirements.txt").read_text().splitlines()
        if line.startswith("-r ")
    ]
    assert included == files
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    beside = [line for line in lines if line and not line.startswith(("#", "-r"))]
    assert beside == PROJECT["project"]["optional-dependencies"]["local"]


def test_an_installed_tool_keeps_its_state_at_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SUPERAGENT_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert home.home() == CHECKOUT / ".superagent"
    monkeypatch.setattr(home, "CHECKOUT", tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert home.home() == Path("/home/somebody/.local/state/superagent")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert home.home() == Path("/state/superagent")
    monkeypatch.chdir(tmp_path)
    assert home.project() == tmp_path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def tool(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`superagent` of a fresh environment: the wheel is installed there, its dependencies are ours."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True, timeout=300
    )
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
    )  # fmt: skip
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin" / "superagent"


def run(tool: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The tool as a person calls it: in a folder that is no checkout, without PYTHONPATH."""
    folder.mkdir(exist_ok=True)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SUPERAGENT_", "PYTHON")) and name != "VIRTUAL_ENV"
    }
    environment |= {
        "HOME": str(folder),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        "PATH": f"{tool.parent}:{sysconfig.get_path('scripts')}:{environment['PATH']}",
    }
    return subprocess.run(
        [tool, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.soak
def test_the_wheel_carries_what_the_checkout_has(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    names = tracked("infra", "service", "alerts", "dashboards")
    assert sorted(set(names) - inside - {name for name in names if Path(name).name in LEFT_OUT}) == []
    metadata = next(name for name in inside if name.endswith(".dist-info/METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    for file in PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"]["file"]:
        for line in (CHECKOUT / file).read_text().splitlines():
            if line and not line.startswith("#"):
                assert f"Requires-Dist: {line}" in text


@pytest.mark.soak
def test_the_installed_tool_says_its_version_and_completes(tool: Path, tmp_path: Path) -> None:
    done = run(tool, tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"superagent {PROJECT['project']['version']}\n")
    assert "_superagent_completion" in run(tool, tmp_path, "completion", "bash").stdout


@pytest.mark.soak
def test_the_installed_tool_previews_the_stack_file_of_the_folder_it_is_called_in(
    tool: Path, tmp_path: Path
) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text(
        "config:\n  superagent:domain: api.example.org\n  superagent:hosted_zone_id: Z0EXAMPLE\n"
    )
    done = run(tool, tmp_path, "preview", "--stack", "prod", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["resources"]) > 150


@pytest.fixture
def up(tool: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "user"
    done = run(tool, folder, "up", "--json")
    try:
        assert done.returncode == 0, done.stderr
        yield folder
    finally:
        run(tool, folder, "down", "--purge")


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_the_installed_tool_runs_the_whole_system(tool: Path, up: Path) -> None:
    assert (up / ".local" / "state" / "superagent" / "state.json").exists()
    done = run(tool, up, "status", "--json")
    assert done.returncode == 0, done.stderr
    backup = run(tool, up, "backup", "create", "--json")
    assert backup.returncode == 0, backup.stderr
