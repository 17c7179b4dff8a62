"""What an EC2 instance does at boot: one typed template, rendered to cloud-init user data.

No secret is in it: the instance reads secrets and its image by its own role, every time the service starts.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from infra.stack import exporter, service_environment
from infra.stack.autoscaling import METRIC_NAMESPACE
from infra.stack.fetch import Sources, script
from infra.stack.outputs import Colour
from infra.stack.recovery_timers import OnInstance, timer_name
from infra.stack.recovery_timers import files as timer_files

REFRESH: Final = """[Unit]
Description=Secrets of SuperAgent, again

[Service]
Type=oneshot
ExecStart=/usr/local/bin/superagent-secrets
"""
REFRESH_TIMER: Final = """[Timer]
OnActiveSec=10min
OnUnitInactiveSec=10min

[Install]
WantedBy=timers.target
"""
"""A rotated token is on the instance ten minutes later; the service reads it when it connects."""
LIMIT_BYTES: Final = 16_384
"""EC2 refuses larger user data (EC2 user guide, before base64)."""
COLLECTOR: Final = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"
SECRETS: Final = "/run/superagent/secrets"
"""A tmpfs: secrets never touch the disk."""
EXTRA_STOP_SECONDS: Final = 15
"""What systemd waits beyond the drain before it kills."""


@dataclass(frozen=True, slots=True)
class Boot:
    """Everything that differs between two instances' user data."""

    environment: str
    region: str
    colour: Colour
    registry: str
    """Host of the image registry, without scheme."""
    image_parameter: str
    database_pointer: str
    database_user: str
    cache_address: str
    cache_secret: str
    providers_secret: str
    log_group: str
    remote_write_url: str
    service_port: int
    metrics_port: int
    drain_seconds: int
    given: dict[str, str] = field(default_factory=dict)
    """The stack's `service_settings` and `service_secrets`, as variables without prefix."""
    secrets: dict[str, str] = field(default_factory=dict)
    """`service_secrets`: setting -> name of the secret."""
    recovery: dict[str, Any] | None = None
    """`recovery_timers.OnInstance` as a dictionary; None without a tools image."""


def packed(boot: Boot) -> str:
    """`render` as a launch template takes it: gzip, which cloud-init knows by its first bytes, in base64.

    Raises ValueError when EC2 would refuse its size. Another zlib may pack the same text into other bytes:
    then the template gets a new version that says the same.
    """
    data = gzip.compress(render(boot).encode(), mtime=0)
    if len(data) > LIMIT_BYTES:
        raise ValueError(f"user data has {len(data)} bytes compressed; EC2 takes {LIMIT_BYTES}")
    return base64.b64encode(data).decode()


def render(boot: Boot) -> str:
    """User data of one colour, to be read."""
    jobs, units = recovery(boot)
    config: dict[str, Any] = {
        "package_update": True,
        "package_upgrade": True,
        "packages": ["docker"],
        "write_files": [
            _file("/etc/superagent/environment", environment(boot)),
            _file("/etc/superagent/collector.yaml", yaml.safe_dump(collector(boot), sort_keys=False)),
            _file("/usr/local/bin/superagent-secrets", secrets_script(boot), "0755"),
            _file("/usr/local/bin/superagent-image", image_script(boot), "0755"),
            _file("/etc/systemd/system/superagent.service", service_unit(boot)),
            _file("/etc/systemd/system/superagent-collector.service", collector_unit()),
            _file("/etc/systemd/system/superagent-secrets.service", REFRESH),
            _file("/etc/systemd/system/superagent-secrets.timer", REFRESH_TIMER),
            *jobs,
        ],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "--now", "docker"],
            [
                "systemctl",
                "enable",
                "--now",
                "--no-block",
                "superagent-collector",
                "superagent",
                "superagent-secrets.timer",
                *units,
            ],
        ],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False, width=1000)


def recovery(boot: Boot) -> tuple[list[dict[str, str]], list[str]]:
    """Files of the scheduled backups and drills, and the units that they start."""
    if boot.recovery is None:
        return [], []
    what = OnInstance.parse(boot.recovery)
    made = [
        _file(path, content, "0755" if path.startswith("/usr/local/bin/") else "0644")
        for path, content in timer_files(what, boot.environment, boot.region, boot.registry).items()
    ]
    return made, [exporter.UNIT, *(timer_name(job) for job in what.plan.jobs())]


def _file(path: str, content: str, mode: str = "0644") -> dict[str, str]:
    return {"path": path, "permissions": mode, "owner": "root:root", "content": content}


def environment(boot: Boot) -> str:
    """Environment of the service (docs/architecture.md); secrets come as files."""
    decided = service_environment.decided(
        environment=boot.environment,
        region=boot.region,
        service_port=boot.service_port,
        metrics_port=boot.metrics_port,
        drain_seconds=boot.drain_seconds,
        secrets=SECRETS,
    )
    values = {**boot.given, **decided, "COLOUR": boot.colour}
    return "".join(f"{service_environment.PREFIX}{name}={value}\n" for name, value in values.items())


def secrets_script(boot: Boot) -> str:
    """Fetch what the service needs into a tmpfs (infra/stack/fetch.py)."""
    sources = Sources(
        region=boot.region,
        database_pointer=boot.database_pointer,
        database_user=boot.database_user,
        cache_address=boot.cache_address,
        cache_secret=boot.cache_secret,
        providers_secret=boot.providers_secret,
        given=boot.secrets,
    )
    return script(sources, SECRETS, owner="10001:10001")


def image_script(boot: Boot) -> str:
    """Wait until the release tool has named an image, then pull it."""
    return f"""#!/bin/bash
set -euo pipefail
export AWS_DEFAULT_REGION={boot.region}
image=none
until [ "$image" != none ]; do
  image=$(aws ssm get-parameter --name {boot.image_parameter} --query Parameter.Value --output text)
  [ "$image" != none ] || sleep 10
done
aws ecr get-login-password | docker login --username AWS --password-stdin {boot.registry}
docker pull --quiet "$image"
printf 'IMAGE=%s\\nSUPERAGENT_VERSION=%s\\n' "$image" "${{image##*:}}" > /run/superagent/image
install -d -o 10001 -g 10001 /var/lib/superagent/journal
"""


def service_unit(boot: Boot) -> str:
    """The container under systemd: read-only, without rights, with time to drain."""
    stop = boot.drain_seconds + EXTRA_STOP_SECONDS
    return f"""[Unit]
Description=SuperAgent
After=docker.service network-online.target
Wants=network-online.target
Requires=docker.service

[Service]
RuntimeDirectory=superagent
RuntimeDirectoryPreserve=yes
ExecStartPre=/usr/local/bin/superagent-image
ExecStartPre=/usr/local/bin/superagent-secrets
ExecStartPre=-/usr/bin/docker rm -f superagent
ExecStart=/bin/sh -c '. /run/superagent/image && exec docker run --rm --name superagent --network host \\
  --env-file /etc/superagent/environment --env SUPERAGENT_VERSION="$$SUPERAGENT_VERSION" \\
  --volume {SECRETS}:{SECRETS}:ro --volume /var/lib/superagent:/var/lib/superagent \\
  --user 10001:10001 --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \\
  --ulimit nofile=65536:65536 --stop-timeout {boot.drain_seconds} \\
  --log-driver awslogs --log-opt awslogs-region={boot.region} --log-opt awslogs-group={boot.log_group} \\
  --log-opt mode=non-blocking "$$IMAGE"'
ExecStop=/usr/bin/docker stop --time {boot.drain_seconds} superagent
TimeoutStartSec=infinity
TimeoutStopSec={stop}
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


def collector_unit() -> str:
    """The OpenTelemetry collector, with the instance's role."""
    return f"""[Unit]
Description=Metrics of SuperAgent
After=docker.service
Requires=docker.service

[Service]
ExecStartPre=-/usr/bin/docker rm -f superagent-collector
ExecStart=/usr/bin/docker run --rm --name superagent-collector --network host --read-only --memory 256m \\
  --cap-drop ALL --security-opt no-new-privileges \\
  --volume /etc/superagent/collector.yaml:/etc/otel/config.yaml:ro {COLLECTOR} --config /etc/otel/config.yaml
ExecStop=/usr/bin/docker stop superagent-collector
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""


def collector(boot: Boot) -> dict[str, Any]:
    """Scrape service and exporter on loopback: all to Prometheus, debates also to CloudWatch for scaling."""
    labels = {"environment": boot.environment, "colour": boot.colour}
    scrape = {
        "job_name": "superagent",
        "scrape_interval": "15s",
        "static_configs": [{"targets": [f"127.0.0.1:{boot.metrics_port}"], "labels": labels}],
    }
    tools = [exporter.on_instance(boot.environment)] if boot.recovery else []
    return {
        "extensions": {"sigv4auth": {"region": boot.region, "service": "aps"}, "health_check": {}},
        "receivers": {"prometheus": {"config": {"scrape_configs": [scrape, *tools]}}},
        "processors": {
            "batch": {"timeout": "10s"},
            "resourcedetection": {"detectors": ["ec2"], "timeout": "5s"},
            "filter/scaling": {
                "metrics": {
                    "include": {"match_type": "strict", "metric_names": ["superagent_debates_active"]}
                }
            },
        },
        "exporters": {
            "prometheusremotewrite": {
                "endpoint": boot.remote_write_url,
                "auth": {"authenticator": "sigv4auth"},
                "resource_to_telemetry_conversion": {"enabled": True},
            },
            "awsemf": {
                "namespace": METRIC_NAMESPACE,
                "region": boot.region,
                "log_group_name": boot.log_group,
                # No placeholder: `{InstanceId}` is the target's address here, whose colon CloudWatch refuses.
                "log_stream_name": f"metrics-{boot.colour}",
                "dimension_rollup_option": "NoDimensionRollup",
                "metric_declarations": [
                    {
                        "dimensions": [["environment", "colour"]],
                        "metric_name_selectors": ["^superagent_debates_active$"],
                    }
                ],
            },
        },
        "service": {
            "extensions": ["sigv4auth", "health_check"],
            "pipelines": {
                "metrics": {
                    "receivers": ["prometheus"],
                    "processors": ["resourcedetection", "batch"],
                    "exporters": ["prometheusremotewrite"],
                },
                "metrics/scaling": {
                    "receivers": ["prometheus"],
                    "processors": ["filter/scaling", "batch"],
                    "exporters": ["awsemf"],
                },
            },
        },
    }


def from_json(text: str) -> Boot:
    """The inverse of `json.dumps(asdict(boot))`: how resolved outputs come back into the type."""
    return Boot(**json.loads(text))
