"""User data: valid cloud-init, small enough, without a secret, and its scripts do what they say."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import os
import random
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra.preview.estate import Recorded
from infra.stack.bootstrap import LIMIT_BYTES, Boot, packed, render
from infra.stack.fetch import Sources, script
from infra.stack.outputs import StackOutputs
from service import settings as service_settings
from service.auth.setup import signer
from tests.infra.estates import estate, recorded
from tests.infra.stack.cloud_config import SCHEMA

BOOT = Boot(
    environment="prod",
    region="eu-central-1",
    colour="blue",
    registry="123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    image_parameter="/superagent/prod/image/blue",
    database_pointer="/superagent/prod/database",
    database_user="superagent_prod_service",
    cache_address="cache.example.internal",
    cache_secret="superagent/prod/cache",
    providers_secret="superagent/prod/providers",
    log_group="/superagent/prod/service",
    remote_write_url="https://aps.example/api/v1/remote_write",
    service_port=8000,
    metrics_port=9464,
    drain_seconds=300,
)
RECOVERY = {
    "image": "registry/superagent:tools",
    "outputs": '{"environment": "prod"}',
    "plan": {"at": "01:30", "postgres_days": 60, "redis_days": 7},
}
WITH_JOBS = dataclasses.replace(BOOT, recovery=RECOVERY)
# A password as nasty as RDS may make one, and a token.
PASSWORD = r"p:w%d#?&[x]{y}~!$'()*+,;=\\<>|^`"
TOKEN = "t0ken&more"


def unpacked(user_data: str) -> str:
    """What cloud-init reads; a size that EC2 refuses fails."""
    data = base64.b64decode(user_data)
    assert len(data) <= LIMIT_BYTES
    return gzip.decompress(data).decode()


def files(text: str) -> dict[str, str]:
    return {one["path"]: one["content"] for one in yaml.safe_load(text)["write_files"]}


def test_user_data_is_what_cloud_init_takes() -> None:
    text = render(BOOT)
    assert text.startswith("#cloud-config\n")
    jsonschema.validate(yaml.safe_load(text), SCHEMA)


@pytest.mark.parametrize(
    "broken",
    [
        {"write_filess": []},
        {"packages": "docker"},
        {"write_files": [{"path": "/x", "permissions": 420}]},
        {"write_files": [{"path": "relative"}]},
        {"runcmd": [["systemctl", 7]]},
    ],
)
def test_what_cloud_init_would_refuse_does_not_pass(broken: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA)


def test_user_data_that_is_too_large_is_refused_here_and_not_by_ec2() -> None:
    packed(dataclasses.replace(BOOT, log_group="x" * 2 * LIMIT_BYTES))  # much, but the same again and again
    noise = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=2 * LIMIT_BYTES))
    with pytest.raises(ValueError, match=str(LIMIT_BYTES)):
        packed(dataclasses.replace(BOOT, log_group=noise))


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_the_launch_template_carries_it_without_a_secret(colour: str) -> None:
    template = next(
        one
        for one in estate("prod", "ec2").resources.values()
        if one.name == f"fleet-{colour}" and one.type.endswith(":LaunchTemplate")
    )
    text = unpacked(template.inputs["userData"])
    assert f"SUPERAGENT_COLOUR={colour}" in files(text)["/etc/superagent/environment"]
    assert "generated-by-secrets-manager" not in text
    assert "Calling __str__" not in text


def test_systemd_waits_longer_than_the_drain() -> None:
    unit = files(render(BOOT))["/etc/systemd/system/superagent.service"]
    assert "--stop-timeout 300" in unit
    assert "TimeoutStopSec=315" in unit


@pytest.mark.parametrize("name", ["secrets", "image", "job"])
def test_scripts_are_valid_bash(name: str, tmp_path: Path) -> None:
    target = tmp_path / "script"
    target.write_text(files(render(WITH_JOBS))[f"/usr/local/bin/superagent-{name}"])
    subprocess.run(["bash", "-n", target], check=True)


def test_an_instance_has_a_timer_for_every_job_and_only_with_a_tools_image() -> None:
    without = {Path(path).name for path in files(render(BOOT))}
    assert {name for name in without if name.endswith(".timer")} == {"superagent-secrets.timer"}
    assert not [name for name in without if "superagent-job" in name]
    made = files(render(WITH_JOBS))
    timers = {Path(path).name: text for path, text in made.items() if path.endswith(".timer")}
    assert sorted(timers) == [
        "superagent-backup-prune.timer",
        "superagent-backup-verify.timer",
        "superagent-backup.timer",
        "superagent-drill.timer",
        "superagent-secrets.timer",
    ]
    assert "OnCalendar=*-*-* 01:30:00 UTC" in timers["superagent-backup.timer"]
    assert "Unit=superagent-job@drill.service" in timers["superagent-drill.timer"]
    assert set(timers) <= set(yaml.safe_load(render(WITH_JOBS))["runcmd"][-1])
    environment = made["/etc/superagent/recovery/environment"]
    assert "SUPERAGENT_KEEP_POSTGRES_DAYS=60\n" in environment
    assert made["/etc/superagent/recovery/outputs.json"] == RECOVERY["outputs"]
    assert 'schedule run "$1" --stack prod' in made["/usr/local/bin/superagent-job"]
    jsonschema.validate(yaml.safe_load(render(WITH_JOBS)), SCHEMA)


def test_an_instance_with_jobs_has_an_exporter_and_its_collector_scrapes_it() -> None:
    made = files(render(WITH_JOBS))
    unit = made["/etc/systemd/system/superagent-exporter.service"]
    assert "registry/superagent:tools exporter --stack prod --listen 127.0.0.1:9110\n" in unit
    assert "superagent-exporter.service" in yaml.safe_load(render(WITH_JOBS))["runcmd"][-1]
    for text, jobs in ((render(BOOT), ["superagent"]), (render(WITH_JOBS), ["superagent", "tools"])):
        config = yaml.safe_load(files(text)["/etc/superagent/collector.yaml"])
        scraped = config["receivers"]["prometheus"]["config"]["scrape_configs"]
        assert [job["job_name"] for job in scraped] == jobs
    assert scraped[1]["static_configs"][0]["targets"] == ["127.0.0.1:9110"]
    assert scraped[1]["honor_labels"] is True


def test_the_estate_gives_instances_their_jobs_and_the_right_to_do_them() -> None:
    with_jobs = recorded("prod", {"compute": "ec2", "tools_image": "registry/superagent:tools"})
    [template] = [
        one
        for one in with_jobs.resources.values()
        if one.name == "fleet-blue" and one.type.endswith(":LaunchTemplate")
    ]
    made = files(unpacked(template.inputs["userData"]))
    outputs = json.loads(made["/etc/superagent/recovery/outputs.json"])
    assert set(outputs) == {field.name for field in dataclasses.fields(StackOutputs)}

    def policy(estate: Recorded) -> str:
        return next(
            str(one.inputs["policy"]) for one in estate.resources.values() if one.name == "instance-policy"
        )

    assert "s3:DeleteObjectVersion" in policy(with_jobs)
    assert "kms:GenerateMac" in policy(with_jobs), "a drill signs its report"
    assert "BypassGovernanceRetention" not in policy(with_jobs)
    assert "s3:" not in policy(estate("prod", "ec2"))


CLOUD = """#!/bin/bash
answer() {
  local ask='import jmespath, json, sys; print(jmespath.search(sys.argv[1], json.loads(sys.argv[2])))'
  while [ "$1" != --query ]; do shift; done
  "$PYTHON" -c "$ask" "$2" "${!#}"
}
case "$*" in
  *"ssm get-parameter"*) echo superagent-prod-database/superagent_r1 ;;
  *superagent-prod-database*SecretArn*) echo arn:master ;;
  *superagent-prod-database*ReadReplica*)
    answer "$@" '{"DBInstances": [{"ReadReplicaDBInstanceIdentifiers": ['"${REPLICAS:-}"']}]}' ;;
  *superagent-prod-reader*Address*) echo reader.example ;;
  *superagent-prod-database*Address*) echo db.example ;;
  *superagent-prod-database*Port*) echo 5432 ;;
  *arn:master*) cat "$HERE/master" ;;
  *cache*) [ "${BROKEN:-}" != cache ] || exit 254; cat "$HERE/token" ;;
  *list-secret-version-ids*jwt*) [ "${BROKEN:-}" != versions ] || exit 254; answer "$@" "${VERSIONS:-$ONE}" ;;
  *jwt*) [ "${BROKEN:-}" != jwt ] || exit 254; cat "$HERE/jwt" ;;
  *providers*) [ "${BROKEN:-}" != providers ] || exit 254; echo '{"openai": {}}' ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""
SOURCES = Sources(
    "eu-central-1", "/pointer", "superagent_prod_service", "cache.example", "cache", "providers"
)


NAMED = dataclasses.replace(SOURCES, given={"jwt_keys": "superagent/prod/jwt_keys"})


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Path]:
    """Runs the real script with an `aws` and a `curl` of our own in front of PATH; gives its folder."""
    master = '{"username":"superagent","password":"' + PASSWORD.replace("\\", "\\\\") + '"}'
    (tmp_path / "master").write_text(master + "\n")
    (tmp_path / "token").write_text(TOKEN + "\n")
    commands = {"aws": CLOUD, "curl": '#!/bin/bash\necho "$@" >> "$HERE/asked"\necho CERTIFICATES\n'}
    (tmp_path / "bin").mkdir()
    for name, text in commands.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    folder = tmp_path / "secrets"

    def run(sources: Sources = SOURCES, **environment: str) -> Path:
        one = {"ONE": '{"Versions": [{"VersionId": "1"}]}', "PYTHON": sys.executable}
        here = {
            **one,
            "HERE": str(tmp_path),
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            **environment,
        }
        subprocess.run(["bash", "-c", script(sources, str(folder))], check=True, env={**os.environ, **here})
        return folder

    return run


def encoded(text: str) -> str:
    return "".join(f"%{ord(one):02X}" for one in text)


def tls(folder: Path) -> str:
    return f"sslmode=verify-full&sslrootcert={folder}/rds-ca.pem"


def test_the_service_gets_no_password_of_the_database(fetch: Callable[..., Path]) -> None:
    folder = fetch()
    service = "postgresql://superagent_prod_service@db.example:5432/superagent_r1?" + tls(folder)
    assert (folder / "database_url").read_text() == (folder / "replica_url").read_text() == service
    assert (folder / "rds-ca.pem").read_text() == "CERTIFICATES\n"
    assert (folder / "redis_url").read_text() == f"rediss://:{encoded(TOKEN)}@cache.example:6379/0"
    assert (folder / "providers.json").read_text() == '{"openai": {}}\n'
    assert {path.name for path in folder.iterdir()} == {
        "database_url", "replica_url", "rds-ca.pem", "redis_url", "providers.json"
    }  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    settings = {
        "SUPERAGENT_DATABASE_URL_FILE": str(folder / "database_url"),
        "SUPERAGENT_DATABASE_IAM_REGION": "eu-central-1",
    }
    service_settings.load(settings)  # what the script writes is what the service takes


def test_the_owners_password_survives_every_character(fetch: Callable[..., Path]) -> None:
    folder = fetch(FETCH_OWNER="yes")
    login = f"{encoded('superagent')}:{encoded(PASSWORD)}"
    assert (folder / "database_owner_url").read_text() == (
        f"postgresql://{login}@db.example:5432/superagent_r1?{tls(folder)}"
    )


FAR, NEAR = '"arn:aws:rds:eu-west-1:1:db:far"', '"superagent-prod-reader"'


@pytest.mark.parametrize(
    ("replicas", "host"),
    [
        (NEAR, "reader.example"),
        (FAR, "db.example"),
        (f"{FAR}, {NEAR}", "reader.example"),
        (f"{NEAR}, {FAR}", "reader.example"),
    ],
)
def test_reports_go_to_a_replica_of_this_region(fetch: Callable[..., Path], replicas: str, host: str) -> None:
    assert f"@{host}:5432/" in (fetch(REPLICAS=replicas) / "replica_url").read_text()


def test_a_second_run_replaces_what_changed_and_asks_for_certificates_once(
    fetch: Callable[..., Path], tmp_path: Path
) -> None:
    folder = fetch()
    (tmp_path / "token").write_text("rotated\n")
    before = (folder / "redis_url").read_text()
    for service in ("cache", "providers"):  # AWS that is away in the middle leaves whole files
        assert (folder / "redis_url").read_text() == before
        with pytest.raises(subprocess.CalledProcessError):
            fetch(BROKEN=service)
    assert (folder / "redis_url").read_text() == f"rediss://:{encoded('rotated')}@cache.example:6379/0"
    assert (folder / "providers.json").read_text() == '{"openai": {}}\n'
    assert len((tmp_path / "asked").read_text().splitlines()) == 1


@pytest.mark.parametrize("empty", ['{"Versions": []}', "{}"])
def test_a_named_secret_of_the_service_is_a_file_and_empty_until_somebody_puts_it(
    fetch: Callable[..., Path], tmp_path: Path, empty: str
) -> None:
    keys = "k1:" + r"a\"b$`&%" * 8
    (tmp_path / "jwt").write_text(keys + "\n")
    folder = fetch(NAMED, VERSIONS=empty)
    settings = {
        "SUPERAGENT_DATABASE_URL_FILE": str(folder / "database_url"),
        "SUPERAGENT_JWT_KEYS_FILE": str(folder / "jwt_keys"),
    }
    assert not signer(service_settings.load(settings)).enabled
    assert (fetch(NAMED) / "jwt_keys").read_text() == keys
    assert signer(service_settings.load(settings)).enabled
    for gone in ("versions", "jwt"):  # AWS that is away leaves what was there
        with pytest.raises(subprocess.CalledProcessError):
            fetch(NAMED, BROKEN=gone)
        assert (folder / "jwt_keys").read_text() == keys


def test_a_secret_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    fake = tmp_path / "aws"
    fake.write_text("#!/bin/bash\nexit 254\n")
    fake.chmod(0o755)
    text = script(SOURCES, str(tmp_path / "out"))
    done = subprocess.run(
        ["bash", "-c", text], env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert done.returncode != 0
    assert not (tmp_path / "out" / "database_url").exists()
