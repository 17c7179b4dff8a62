"""User data: valid cloud-init, small enough, without a secret, and its scripts do what they say."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import os
import random
import re
import string
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra.preview.estate import Recorded
from infra.stack.bootstrap import LIMIT_BYTES, Boot, collector, packed, render
from infra.stack.outputs import StackOutputs
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


@pytest.mark.parametrize("code", [0, 1])
def test_the_owners_login_is_on_an_instance_while_a_job_runs_and_no_longer(tmp_path: Path, code: int) -> None:
    text = files(render(WITH_JOBS))["/usr/local/bin/superagent-job"]
    for path in ("/usr/local/bin/", "/run/superagent", "/var/lib"):
        text = text.replace(path, f"{tmp_path}{path}")
    commands = {
        "usr/local/bin/superagent-secrets": 'mkdir -p "$1" && touch "$1/${FETCH_OWNER:+database_owner_url}"',
        "bin/install": "true",
        "bin/aws": "echo token",
        "bin/docker": f"""[ "$1" = run ] || {{ cat > /dev/null; exit 0; }}
for word in "$@"; do
  case $word in
    *:ro)
      host=${{word%%:*}}
      [ ! -d "$host" ] || echo "$word" >> {tmp_path}/seen
      ls "$host" >> {tmp_path}/ls ;;
  esac
done 2> /dev/null
exit {code}""",
    }
    for name, body in commands.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    here = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", text, "superagent-job", "backup"], env=here)
    assert done.returncode == code
    assert "database_owner_url" in (tmp_path / "ls").read_text()
    mounted = dict(reversed(line.split(":")[:2]) for line in (tmp_path / "seen").read_text().splitlines())
    environment = files(render(WITH_JOBS))["/etc/superagent/recovery/environment"]
    [named] = re.findall(r"SUPERAGENT_DATABASE_OWNER_URL_FILE=(.*)/database_owner_url\n", environment)
    # The URLs name the certificates by the folder on the host: it is there by that name, too.
    host = mounted[f"{tmp_path}{named}"]
    assert mounted[host] == host
    assert not Path(host).exists()


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


def test_the_metric_that_scales_goes_to_a_stream_that_cloudwatch_takes() -> None:
    """A placeholder becomes the scraped address, and a stream's name may hold no colon (CreateLogStream)."""
    stream = collector(BOOT)["exporters"]["awsemf"]["log_stream_name"]
    assert re.fullmatch(r"[^:*{}]+", stream)
