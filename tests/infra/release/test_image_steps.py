"""The image's own steps, done without a builder: what they install starts, is healthy and drains.

No builder and no base image can be had everywhere; this is everything else of service/Dockerfile.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.home import CHECKOUT
from tests.infra.release.dockerfile import Stage, instructions
from tests.parts import free_port, wait_until

pytestmark = [pytest.mark.soak, pytest.mark.component, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def image() -> Iterator[Stage]:
    """Both stages done; the second one's settings."""
    root = Path(tempfile.mkdtemp(prefix="superagent-image-"))
    root.chmod(0o755)
    try:
        build, final = Stage(root, CHECKOUT), Stage(root, CHECKOUT)
        stages = iter((build, final))
        stage = build
        for name, rest in instructions((CHECKOUT / "service" / "Dockerfile").read_text()):
            if name == "FROM":
                stage = next(stages)
            stage.do(name, rest)
        yield final
    finally:
        shutil.rmtree(root, ignore_errors=True)


def who(image: Stage) -> dict[str, int]:
    """The user of the image where this process may become it."""
    user, group = (int(one) for one in image.user.split(":"))
    return {"user": user, "group": group} if os.geteuid() == 0 else {}


def command(image: Stage, words: list[str]) -> list[str]:
    return [f"{image.root}/opt/superagent/bin/{words[0]}", *words[1:]]


def test_it_holds_the_service_its_bill_and_nothing_to_install_with(image: Stage) -> None:
    installed = image.root / "opt/superagent"
    assert sorted(one.name for one in (installed / "app").iterdir()) == ["service"]
    bill = json.loads((installed / "sbom.cdx.json").read_text())
    assert {"starlette", "uvloop", "asyncpg"} <= {one["name"] for one in bill["components"]}
    assert not (installed / "bin/pip").exists()
    assert list((installed / "app").rglob("*.pyc")) != []


def test_it_migrates_starts_passes_its_health_check_and_drains(
    image: Stage, database_url: str, valkey_server: str, tmp_path: Path
) -> None:
    (tmp_path / "database").write_text(database_url)
    (tmp_path / "redis").write_text(valkey_server)
    secrets = {}
    for name in ("database", "redis"):
        target = image.root / name
        shutil.copy(tmp_path / name, target)
        target.chmod(0o644)
        secrets[f"SUPERAGENT_{name.upper()}_URL_FILE"] = str(target)
    journal = image.root / "var/lib/superagent/journal"
    if os.geteuid() == 0:
        for folder in (journal.parent, journal):
            os.chown(folder, *(int(one) for one in image.user.split(":")))
    ports = {"SUPERAGENT_PORT": str(free_port()), "SUPERAGENT_METRICS_PORT": str(free_port())}
    settings = {
        **image.settings(), **secrets, **ports, "SUPERAGENT_HOST": "127.0.0.1",
    }  # fmt: skip
    folder, entry = image.inside(image.folder), command(image, image.entry)
    migrated = subprocess.run(
        [*entry, "migrate", "--json"], cwd=folder, env=settings, capture_output=True, text=True, check=False,
        **who(image),
    )  # fmt: skip
    assert migrated.returncode == 0, migrated.stderr
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(entry, cwd=folder, env=settings, stdout=log, stderr=log, **who(image))
        try:
            check = command(image, image.healthcheck)
            wait_until(
                lambda: subprocess.run(check, env=settings, capture_output=True, check=False).returncode == 0,
                "the health check passes",
                60,
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait(10)
