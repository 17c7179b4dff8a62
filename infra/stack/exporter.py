"""Where `superagent exporter` runs: on every EC2 instance beside the timers, in EKS as one pod.

It turns what lies in the bucket and in the release table into metrics; the collector that writes to the
metric store scrapes it. Two exporters tell the same, and the alerts take the maximum.
"""

from __future__ import annotations

from typing import Any, Final

from infra.stack.kubernetes_objects import (
    EXPORTER_ACCOUNT,
    SCRATCH,
    TOOLS_USER,
    Manifest,
    Workload,
    labels,
    metadata,
)
from infra.stack.kubernetes_pods import SECURE, pod_security
from infra.stack.recovery_jobs import FOLDER, OUTPUTS

JOB: Final = "tools"
"""`job` of its series."""
PORT: Final = 9110
"""On an instance: loopback only. In the cluster it answers at the port that the NetworkPolicy opens."""
PORT_NAME: Final = "tools"
"""Of the pod's port: the scraper tells it from the service's by this name."""
INTERVAL: Final = "15s"
"""As the service's: dashboards mark the steps of a release by their increase within 30 s."""
UNIT: Final = "superagent-exporter.service"


def deployment(work: Workload, image: Any, asleep: bool, outputs: Any) -> Manifest:
    """One pod, without a secret; none without a tools image. `outputs` are the stack's, as JSON."""
    own = {**labels(), "component": "exporter"}
    selector = {"app.kubernetes.io/name": own["app.kubernetes.io/name"], "component": "exporter"}
    settings = {"SUPERAGENT_OUTPUTS_FILE": OUTPUTS, "SUPERAGENT_HOME": f"{SCRATCH}/home", "HOME": SCRATCH}
    container = {
        "name": "exporter",
        "image": image,
        "args": ["exporter", "--stack", work.environment, "--listen", f"0.0.0.0:{work.metrics_port}"],
        "env": [{"name": name, "value": text} for name, text in settings.items()],
        "ports": [{"name": PORT_NAME, "containerPort": work.metrics_port}],
        "securityContext": SECURE,
        "resources": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": {"tcpSocket": {"port": PORT_NAME}, "periodSeconds": 30, "failureThreshold": 3},
        "volumeMounts": [
            {"name": "recovery", "mountPath": FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": SCRATCH},
        ],
    }
    return {
        "metadata": metadata("exporter"),
        "spec": {
            "replicas": 0 if asleep else 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector},
            "template": {
                # It reads them when it starts: a change of them is a new pod. (No digest: `superagent drift`
                # cannot know one of values that are AWS's to give.)
                "metadata": {"labels": own, "annotations": {"superagent/outputs": outputs}},
                "spec": {
                    "serviceAccountName": EXPORTER_ACCOUNT,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": pod_security(TOOLS_USER),
                    "containers": [container],
                    "volumes": [
                        {"name": "recovery", "configMap": {"name": "recovery"}},
                        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
                    ],
                },
            },
        },
    }


def unit(image: str, stack: str, region: str, registry: str) -> str:
    """A systemd service of an instance."""
    return f"""[Unit]
Description=Metrics of backups, drills and releases
After=docker.service network-online.target
Requires=docker.service

[Service]
ExecStartPre=/bin/sh -c 'aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin {registry}'
ExecStartPre=-/usr/bin/docker rm -f superagent-exporter
ExecStart=/usr/bin/docker run --rm --name superagent-exporter --network host --read-only --tmpfs /tmp --memory 256m \\
  --user 10001:10001 --cap-drop ALL --security-opt no-new-privileges --env-file {FOLDER}/environment \\
  --env SUPERAGENT_HOME=/tmp/home --env HOME=/tmp --env TMPDIR=/tmp --volume {FOLDER}:{FOLDER}:ro \\
  {image} exporter --stack {stack} --listen 127.0.0.1:{PORT}
ExecStop=/usr/bin/docker stop superagent-exporter
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
"""  # noqa: E501 - a pipe stays in one line


def on_instance(environment: str) -> dict[str, Any]:
    """The collector's job on an instance."""
    return _job() | {
        "static_configs": [{"targets": [f"127.0.0.1:{PORT}"], "labels": {"environment": environment}}]
    }


def in_cluster(environment: str, namespace: str) -> dict[str, Any]:
    """The job of the scraper that AWS runs for the cluster."""
    return _job() | {
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [namespace]}}],
        "relabel_configs": [
            {
                "source_labels": ["__meta_kubernetes_pod_container_port_name"],
                "regex": PORT_NAME,
                "action": "keep",
            },
            {"target_label": "environment", "replacement": environment},
        ],
    }


def _job() -> dict[str, Any]:
    # The page names environment and colour itself; without honour they would become exported_colour.
    return {"job_name": JOB, "honor_labels": True, "scrape_interval": INTERVAL}
