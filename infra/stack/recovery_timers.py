"""The schedule on EC2: systemd timers on every instance; the one that works is chosen in DynamoDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from infra.stack import exporter, schedule
from infra.stack.fetch import AS_OWNER
from infra.stack.recovery_jobs import FOLDER, OUTPUTS, environment
from infra.stack.schedule import Job, Plan

SCRATCH: Final = "/var/lib/superagent-recovery"
"""On the disk: a drill restores the whole database."""
SECRETS: Final = "/run/superagent/recovery"
"""In a job's container. On the instance each job has a folder of its own, which is gone with the job."""


@dataclass(frozen=True, slots=True)
class OnInstance:
    """What user data needs to know of the jobs; resolved outputs."""

    image: str
    outputs: str
    plan: Plan

    @classmethod
    def parse(cls, values: dict[str, Any]) -> OnInstance:
        return cls(values["image"], values["outputs"], Plan(**values["plan"]))


def files(what: OnInstance, stack: str, region: str, registry: str) -> dict[str, str]:
    """Path → content. The machine that takes a turn is chosen in DynamoDB; the others only wait for it."""
    settings = "".join(f"{key}={text}\n" for key, text in environment(what.plan, SECRETS, "/work").items())
    script = f"""#!/bin/bash
set -euo pipefail
export AWS_DEFAULT_REGION={region}
folder={SECRETS}-$1
trap 'rm -rf "$folder"' EXIT
{AS_OWNER}=yes /usr/local/bin/superagent-secrets "$folder"
install -d -o 10001 -g 10001 -m 0700 {SCRATCH}
aws ecr get-login-password | docker login --username AWS --password-stdin {registry}
# Twice: the URLs name the certificates by the folder that they were written to.
docker run --rm --name "superagent-$1" --network host --env-file {FOLDER}/environment \\
  --volume "$folder":{SECRETS}:ro --volume "$folder":"$folder":ro \\
  --volume {FOLDER}:{FOLDER}:ro --volume {SCRATCH}:/work \\
  --user 10001:10001 --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \\
  --memory 1g {what.image} schedule run "$1" --stack {stack}
"""
    unit = """[Unit]
Description=SuperAgent %i
After=docker.service network-online.target
Requires=docker.service

[Service]
Type=oneshot
ExecStart=/usr/local/bin/superagent-job %i
ExecStopPost=-/usr/bin/docker rm -f superagent-%i
ExecStopPost=-/bin/rm -rf SECRETS-%i
TimeoutStartSec=7h
Nice=10
""".replace("SECRETS", SECRETS)
    made = {
        OUTPUTS: what.outputs,
        f"{FOLDER}/environment": settings,
        "/usr/local/bin/superagent-job": script,
        "/etc/systemd/system/superagent-job@.service": unit,
        f"/etc/systemd/system/{exporter.UNIT}": exporter.unit(what.image, stack, region, registry),
    }
    for job in what.plan.jobs():
        text = schedule.timer(job, stack, f"superagent-job@{job.name}.service")
        made[f"/etc/systemd/system/{timer_name(job)}"] = text
    return made


def timer_name(job: Job) -> str:
    return f"superagent-{job.name}.timer"
