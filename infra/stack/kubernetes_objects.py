"""What runs in the cluster, as plain Kubernetes objects: pure functions from a few values to manifests.

Keys are Kubernetes' own, so that a reader (and the schema that tests check them with) knows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from infra.stack.outputs import Colour

NAMESPACE: Final = "superagent"
ACCOUNT: Final = "superagent"
BACKUP_ACCOUNT: Final = "backup"
COLOUR: Final = "superagent/colour"
"""Label by which the release tool finds the pods of a colour (infra/release/fleet_eks.py)."""
CONTAINER: Final = "superagent"
FLOOR: Final = "superagent/min-replicas"
"""Annotation with the size that the live colour never goes below."""
USER: Final = 10001
SECRETS: Final = "/run/superagent/secrets"
SCRATCH: Final = "/tmp"  # noqa: S108 - an emptyDir of the pod
TOOLS_USER: Final = 10002
AWS_CLI: Final = "public.ecr.aws/aws-cli/aws-cli:2.31.3"
LEAVE_SECONDS: Final = 15
"""Between "terminating" and SIGTERM: the load balancer needs a moment to stop sending."""
SLACK_SECONDS: Final = 15
BACKUP_SCHEDULE: Final = "15 2 * * *"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """Values that the objects of one environment share; texts may be Pulumi outputs."""

    environment: str
    region: str
    image: Any
    fetch_script: Any
    """Bash that writes the secrets; runs in the init container."""
    service_port: int
    metrics_port: int
    drain_seconds: int
    min_replicas: int
    max_replicas: int
    cpu_target: int
    vpc_cidr: str
    settings: dict[str, Any]
    """Environment variables without their prefix."""


def labels(colour: Colour | None = None) -> dict[str, str]:
    own = {"app.kubernetes.io/name": NAMESPACE, "app.kubernetes.io/managed-by": "pulumi"}
    return own | ({COLOUR: colour} if colour else {})


def selector(colour: Colour) -> dict[str, str]:
    return {"app.kubernetes.io/name": NAMESPACE, COLOUR: colour}


def name(colour: Colour) -> str:
    """The release tool finds Deployment, Service and the others of a colour by it."""
    return f"superagent-{colour}"


def metadata(title: str, colour: Colour | None = None) -> Any:
    return {"name": title, "namespace": NAMESPACE, "labels": labels(colour)}


def namespace() -> Manifest:
    return {
        "metadata": {
            "name": NAMESPACE,
            "labels": {
                **labels(),
                "pod-security.kubernetes.io/enforce": "restricted",
                # Pods count as ready only when the load balancer agrees.
                "elbv2.k8s.aws/pod-readiness-gate-inject": "enabled",
            },
        }
    }


def config_map(work: Workload) -> Manifest:
    return {
        "metadata": metadata("settings"),
        "data": {f"SUPERAGENT_{key}": value for key, value in work.settings.items()},
    }


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
                    "initContainers": [fetch(work)],
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


def fetch(work: Workload) -> Manifest:
    """Secrets come from AWS into memory, by Pod Identity; Kubernetes stores none."""
    return {
        "name": "secrets",
        "image": AWS_CLI,
        "command": ["/bin/bash", "-c", work.fetch_script],
        "env": [{"name": "AWS_DEFAULT_REGION", "value": work.region}, {"name": "HOME", "value": SCRATCH}],
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
        "lifecycle": {"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}},
        "volumeMounts": [
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "journal", "mountPath": "/var/lib/superagent"},
            {"name": "tmp", "mountPath": SCRATCH},
        ],
    }


def service(work: Workload, colour: Colour) -> Manifest:
    return {
        "metadata": metadata(name(colour), colour),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(colour),
            "ports": [{"name": "http", "port": work.service_port, "targetPort": "http"}],
        },
    }


def target_group_binding(work: Workload, colour: Colour, target_group_arn: Any) -> Manifest:
    """Pods register in the target group that Pulumi made; the controller touches nothing else."""
    return {
        "metadata": metadata(name(colour), colour),
        "spec": {
            "serviceRef": {"name": name(colour), "port": work.service_port},
            "targetGroupARN": target_group_arn,
            "targetType": "ip",
        },
    }


def autoscaler(work: Workload, colour: Colour) -> Manifest:
    """Grows fast and shrinks slowly. It sleeps while the release tool holds the colour at zero replicas."""
    return {
        "metadata": metadata(name(colour), colour),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name(colour)},
            "minReplicas": work.min_replicas,
            "maxReplicas": work.max_replicas,
            "metrics": [resource("cpu", work.cpu_target), resource("memory", 80)],
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "selectPolicy": "Max",
                    "policies": [
                        {"type": "Percent", "value": 100, "periodSeconds": 30},
                        {"type": "Pods", "value": 4, "periodSeconds": 30},
                    ],
                },
                "scaleDown": {
                    "stabilizationWindowSeconds": 300,
                    "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
                },
            },
        },
    }


def resource(title: str, target: int) -> Manifest:
    return {
        "type": "Resource",
        "resource": {"name": title, "target": {"type": "Utilization", "averageUtilization": target}},
    }


def disruption_budget(colour: Colour) -> Manifest:
    return {
        "metadata": metadata(name(colour), colour),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(colour)}},
    }


def network_policy(work: Workload) -> Manifest:
    """In: the load balancer and the collector. Out: names, TLS (providers, AWS), database and cache."""
    inside = [{"ipBlock": {"cidr": work.vpc_cidr}}]
    return {
        "metadata": metadata("service"),
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": NAMESPACE}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": inside,
                    "ports": [
                        {"protocol": "TCP", "port": work.service_port},
                        {"protocol": "TCP", "port": work.metrics_port},
                    ],
                }
            ],
            "egress": [
                {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
                {"ports": [{"protocol": "TCP", "port": 443}]},
                # The Pod Identity agent answers on this link-local address.
                {
                    "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}],
                    "ports": [{"protocol": "TCP", "port": 80}],
                },
                {
                    "to": inside,
                    "ports": [{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 6379}],
                },
            ],
        },
    }


def backup_job(work: Workload, image: Any, suspended: bool) -> Manifest:
    """Logical dump every night by `superagent backup run`, with a clean process each time."""
    return {
        "metadata": metadata("backup"),
        "spec": {
            "schedule": BACKUP_SCHEDULE,
            "timeZone": "Etc/UTC",
            "suspend": suspended,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 7,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 2,
                    "activeDeadlineSeconds": 4 * 3600,
                    "template": {
                        "metadata": {"labels": {**labels(), "component": "backup"}},
                        "spec": {
                            "serviceAccountName": BACKUP_ACCOUNT,
                            "automountServiceAccountToken": False,
                            "restartPolicy": "Never",
                            "securityContext": pod_security(TOOLS_USER),
                            "containers": [
                                {
                                    "name": "backup",
                                    "image": image,
                                    "args": ["backup", "run", "--stack", work.environment],
                                    "securityContext": SECURE,
                                    "resources": {
                                        "requests": {"cpu": "500m", "memory": "512Mi"},
                                        "limits": {"memory": "1Gi"},
                                    },
                                    "volumeMounts": [{"name": "tmp", "mountPath": SCRATCH}],
                                }
                            ],
                            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
                        },
                    },
                }
            },
        },
    }
