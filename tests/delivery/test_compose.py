"""docker-compose.yml: valid, closed, limited, without a secret, and its settings are real ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.home import CHECKOUT
from service import settings as service_settings
from tests.delivery.compose import FILE, FOLDER, ONCE, document, rendered, services

RUNNING = sorted(set(services()) - set(ONCE))
SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|URL|AUTH")


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def schema_errors(path: Path) -> str:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout


def test_the_official_schema_accepts_it_as_written_and_rendered(tmp_path: Path) -> None:
    assert schema_errors(FILE) == ""
    path = tmp_path / "rendered.yml"
    path.write_text(yaml.safe_dump({key: value for key, value in document().items() if key[:2] != "x-"}))
    assert schema_errors(path) == ""
    path.write_text(yaml.safe_dump({"services": {"x": {"image": "a", "portz": []}}}))
    assert "portz" in schema_errors(path)


def test_a_version_must_be_named() -> None:
    with pytest.raises(KeyError, match="SUPERAGENT_VERSION: name a version"):
        rendered({})


@pytest.mark.parametrize("name", sorted(services()))
def test_every_image_is_pinned(name: str) -> None:
    tag = services()[name]["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+(\.\d+)*(-[a-z]+)?", tag), tag


@pytest.mark.parametrize("name", sorted(services()))
def test_every_container_is_closed_and_limited(name: str) -> None:
    one = services()[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert not one.get("privileged")
    assert {"cpus", "memory"} <= set(one["deploy"]["resources"]["limits"])
    assert "NET_ADMIN" not in one.get("cap_add", []) and "SYS_ADMIN" not in one.get("cap_add", [])


@pytest.mark.parametrize("name", RUNNING)
def test_whatever_runs_is_asked_whether_it_works(name: str) -> None:
    check = services()[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL") and len(check["test"]) > 1
    assert seconds(check["timeout"]) < seconds(check["interval"])


def test_only_the_load_balancer_is_reached_from_outside() -> None:
    published = {name: one["ports"] for name, one in services().items() if one.get("ports")}
    assert set(published) == {"envoy", "grafana"}
    assert published["envoy"] == ["443:8443", "80:8080"]
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])


def test_data_has_a_network_without_a_way_out() -> None:
    assert document()["networks"]["backend"] == {"internal": True}
    for name in ("postgres", "valkey", "migrate", "aws"):
        assert services()[name]["networks"] == ["backend"]
    assert set(services()["service"]["networks"]) == {"frontend", "backend", "monitoring"}
    assert "backend" not in services()["envoy"]["networks"]


@pytest.mark.parametrize("name", sorted(services()))
def test_no_secret_stands_in_an_environment_or_a_command(name: str) -> None:
    one = services()[name]
    for key, value in one.get("environment", {}).items():
        assert "@" not in value and "sk-" not in value, key
        if SECRET_NAME.search(key) and not re.search(r"_FILE$", key):
            assert key in ("GF_ANALYTICS_CHECK_FOR_UPDATES",), f"{key} belongs into a file"
        if key.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/") in one["secrets"]
    assert "://:" not in json.dumps(one.get("command", []))


def init(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, FOLDER / "init.py", "--folder", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_secret_is_made_and_used(tmp_path: Path) -> None:
    declared = {name: Path(one["file"]).name for name, one in document()["secrets"].items()}
    used = {name for one in services().values() for name in one.get("secrets", [])}
    assert used == set(declared)
    init(tmp_path / "secrets")
    made = {path.name for path in (tmp_path / "secrets").iterdir() if path.is_file()}
    assert made == set(declared.values())


def test_secrets_are_made_once_agree_and_are_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    words = " ".join(init(folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    before = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    assert before["postgres_password"] in before["database_owner_url"]
    assert before["postgres_password"] not in before["database_url"]
    assert before["valkey_password"] in before["redis_url"] + before["valkey_auth"]
    assert json.loads(before["redis_exporter.json"]) == {"redis://valkey:6379": before["valkey_password"]}
    assert len({before[name] for name in ("postgres_password", "valkey_password", "grafana_password")}) == 3
    assert not any(value in words for value in before.values())
    (folder / "database_url").unlink()
    assert "database_url." in init(folder)
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == before


def test_secrets_that_cannot_be_written_are_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, FOLDER / "init.py", "--folder", tmp_path / "file" / "x"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert str(tmp_path / "file") in done.stderr


def image_environment() -> dict[str, str]:
    """The variables that service/Dockerfile sets."""
    text = (CHECKOUT / "service/Dockerfile").read_text().rpartition("\nFROM ")[2]
    return dict(re.findall(r"\b(SUPERAGENT_\w+)=(\S+)", text))


@pytest.mark.parametrize("name", ["service", "migrate"])
def test_the_service_takes_its_settings(name: str, tmp_path: Path) -> None:
    init(tmp_path)
    given = {**image_environment(), **services()[name]["environment"]}
    given = {key: value for key, value in given.items() if key.startswith("SUPERAGENT_")}
    for key, value in given.items():
        if key.endswith("_FILE"):
            given[key] = str(tmp_path / value.removeprefix("/run/secrets/"))
    found = service_settings.load(given)
    assert (found.environment, found.version, found.host) == ("compose", "v1", "0.0.0.0")
    assert found.database_url.get_secret_value().startswith("postgresql://superagent_service:")
    assert (found.database_owner_url is not None) == (name == "migrate")
    assert found.trusted_proxies == 1


def test_an_answer_may_end_before_its_process_is_killed() -> None:
    one = services()["service"]
    assert seconds(one["stop_grace_period"]) > float(one["environment"]["SUPERAGENT_DRAIN_SECONDS"])
    envoy = (FOLDER / "envoy.yaml").read_text()
    idle = re.search(r"stream_idle_timeout: (\d+)s", envoy)
    assert idle and int(idle[1]) > service_settings.Settings.model_fields["request_timeout_seconds"].default


def test_updates_start_first_and_come_back_and_stores_never_run_twice() -> None:
    for name in ("service", "envoy"):
        assert services()[name]["deploy"]["update_config"]["order"] == "start-first"
        assert services()[name]["deploy"]["update_config"]["failure_action"] == "rollback"
        assert services()[name]["deploy"]["rollback_config"]["order"] == "start-first"
    assert services()["service"]["deploy"]["replicas"] == 2
    for name in ("postgres", "valkey"):
        assert services()[name]["deploy"]["update_config"]["order"] == "stop-first"


def test_whoever_needs_a_store_waits_until_it_works() -> None:
    for name, one in services().items():
        for other, how in one.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how == {"condition": wanted}, f"{name} → {other}"
    assert set(services()["service"]["depends_on"]) == {"migrate", "postgres", "valkey"}


def sources(one: dict[str, Any]) -> list[str]:
    return [volume.split(":")[0] for volume in one.get("volumes", [])]


def test_every_file_and_volume_that_is_mounted_exists() -> None:
    for name, one in services().items():
        for source in sources(one):
            if source.startswith("./"):
                made = source.startswith("./compose/secrets")  # by compose/init.py
                assert made or (CHECKOUT / source).exists(), f"{name}: {source}"
            elif not source.startswith("/"):
                assert source in document()["volumes"], f"{name}: {source}"
        for config in one.get("configs", []):
            assert (CHECKOUT / document()["configs"][config["source"]]["file"]).is_file()
    used = {source for one in services().values() for source in sources(one)}
    assert set(document()["volumes"]) <= used


def test_grafana_finds_its_data_source_and_the_dashboards() -> None:
    one = services()["grafana"]
    mounts = {target: source for source, target, *_ in (volume.split(":") for volume in one["volumes"])}
    assert mounts["/etc/grafana/provisioning"] == "./compose/grafana"
    (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards/superagent.yml").read_text())["providers"]
    boards = sorted((CHECKOUT / mounts[provider["options"]["path"]]).glob("*.json"))
    assert len(boards) >= 5
    (source,) = yaml.safe_load((FOLDER / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in services()
    assert source["isDefault"] is True
    for board in boards:
        variables = json.loads(board.read_text())["templating"]["list"]
        assert any(one["type"] == "datasource" and one["query"] == source["type"] for one in variables)


@pytest.mark.parametrize("dockerfile", ["service/Dockerfile", "infra/Dockerfile"])
def test_what_an_image_copies_reaches_its_builder(dockerfile: str) -> None:
    """The ignore file beside a Dockerfile, else the one of the checkout: `!` patterns let things through."""
    own = CHECKOUT / f"{dockerfile}.dockerignore"
    rules = (own if own.exists() else CHECKOUT / ".dockerignore").read_text().splitlines()
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    assert "*" in rules
    text = (CHECKOUT / dockerfile).read_text()
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert copied
    for name in copied:
        assert (CHECKOUT / name).exists(), name
        assert any(fnmatch(name, rule) or name.startswith(f"{rule}/") for rule in allowed), name
    # pip reads what a requirements file includes: that must be in the image too.
    for name in [name for name in copied if name.endswith("requirements.txt")]:
        for line in (CHECKOUT / name).read_text().splitlines():
            if line.startswith("-r "):
                assert line.removeprefix("-r ") in copied
