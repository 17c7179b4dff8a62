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
EXPORTER_ACCOUNT: Final = "exporter"
MIGRATE_ACCOUNT: Final = "migrate"
"""Of the release tool's migration Job, which comes to the database as its owner."""
ACCOUNTS: Final = (ACCOUNT, BACKUP_ACCOUNT, EXPORTER_ACCOUNT, MIGRATE_ACCOUNT)
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
