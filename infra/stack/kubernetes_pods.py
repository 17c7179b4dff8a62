"""The pods of a colour: without rights, with time to drain."""

from __future__ import annotations

from typing import Final

from infra.stack.fetch import AS_OWNER
from infra.stack.kubernetes_objects import (
    ACCOUNT,
    AWS_CLI,
    CONTAINER,
    FLOOR,
    LEAVE_SECONDS,
    SCRATCH,
    SECRETS,
    SLACK_SECONDS,
    USER,
    Manifest,
    Workload,
    labels,
    metadata,
    name,
    selector,
)
from infra.stack.outputs import Colour

AGAIN: Final = (
    "trap 'exit 0' TERM; while :; do sleep 600 & wait $!; /bin/bash -c \"$1\" || echo 'not fetched' >&2; done"
)
"""Process 1 of a container ignores TERM unless it says otherwise."""
SECURE: Final[Manifest] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod_security(user: int) -> Manifest:
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def deployment(work: Workload, colour: Colour) -> Manifest:
    """One colour; zero replicas until the release tool wants it."""
    grace = LEAVE_SECONDS + work.drain_seconds + SLACK_SECONDS
    return {
        "metadata": {
            **metadata(name(colour), colour),
            "annotations": {FLOOR: str(work.min_replicas)},
        },
        "spec": {
            "replicas": 0,
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": selector(colour)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels(colour)},
                "spec": {
                    "serviceAccountName": ACCOUNT,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": grace,
                    "securityContext": pod_security(USER),
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "topology.kubernetes.io/zone",
                            "whenUnsatisfiable": "DoNotSchedule",
                            "labelSelector": {"matchLabels": selector(colour)},
                        }
                    ],
                    "affinity": {
                        "podAntiAffinity": {
                            "preferredDuringSchedulingIgnoredDuringExecution": [
                                {
                                    "weight": 100,
                                    "podAffinityTerm": {
                                        "topologyKey": "kubernetes.io/hostname",
                                        "labelSelector": {"matchLabels": selector(colour)},
                                    },
                                }
                            ]
                        }
                    },
                    "initContainers": [fetch(work), refresh(work)],
                    "containers": [container(work, colour)],
                    "volumes": [
                        {"name": "secrets", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                        {"name": "journal", "emptyDir": {"sizeLimit": "2Gi"}},
                        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
                    ],
                },
            },
        },
    }


def fetch(work: Workload, as_owner: bool = False) -> Manifest:
    """Secrets come from AWS into memory, by Pod Identity; Kubernetes stores none."""
    owner = [{"name": AS_OWNER, "value": "yes"}] if as_owner else []
    return {
        "name": "secrets",
        "image": AWS_CLI,
        # What AWS refused is then in the pod's status, where the release tool reads it.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "command": ["/bin/bash", "-c", work.fetch_script],
        "env": [
            {"name": "AWS_DEFAULT_REGION", "value": work.region},
            {"name": "HOME", "value": SCRATCH},
            *owner,
        ],
        "securityContext": SECURE,
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "256Mi"},
        },
        "volumeMounts": [
            {"name": "secrets", "mountPath": SECRETS},
            {"name": "tmp", "mountPath": SCRATCH},
        ],
    }


def refresh(work: Workload) -> Manifest:
    """The same again and again beside the service: a rotated token is in the pod ten minutes later.

    A sidecar, so that it ends after the service and never keeps a Job alive (Kubernetes 1.29 and later).
    """
    return {
        **fetch(work),
        "name": "secrets-again",
        "restartPolicy": "Always",
        "command": ["/bin/bash", "-c", AGAIN, "again", work.fetch_script],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }


def container(work: Workload, colour: Colour) -> Manifest:
    probe = {"port": "http", "scheme": "HTTP"}
    return {
        "name": CONTAINER,
        "image": work.image,
        "ports": [
            {"name": "http", "containerPort": work.service_port},
            {"name": "metrics", "containerPort": work.metrics_port},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "env": [{"name": "SUPERAGENT_COLOUR", "value": colour}],
        "securityContext": SECURE,
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "startupProbe": {
            "httpGet": {"path": "/health/live", **probe},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
        "readinessProbe": {
            "httpGet": {"path": "/health/ready", **probe},
            "periodSeconds": 5,
            "timeoutSeconds": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/health/live", **probe},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
        },
        # A container that crashes says why in the pod's status, where the release tool reads it.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}},
        "volumeMounts": [
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "journal", "mountPath": "/var/lib/superagent"},
            {"name": "tmp", "mountPath": SCRATCH},
        ],
    }
