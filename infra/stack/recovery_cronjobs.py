"""The schedule in the cluster: one CronJob a job, each in a clean pod with secrets in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.batch.v1 import CronJob
from pulumi_kubernetes.core.v1 import ConfigMap

from infra.stack import exporter, schedule
from infra.stack.exports import exports
from infra.stack.fleet_ec2 import Estate
from infra.stack.kubernetes_objects import (
    BACKUP_ACCOUNT,
    SCRATCH,
    SECRETS,
    TOOLS_USER,
    Manifest,
    Workload,
    labels,
    metadata,
)
from infra.stack.kubernetes_pods import SECURE, fetch, pod_security
from infra.stack.recovery_jobs import FOLDER, environment
from infra.stack.schedule import Job, Plan
from infra.stack.settings import Settings

DRILL_SPACE: Final = "20Gi"
"""Of a node's disk: a drill restores the whole database."""


def cron_job(job: Job, plan: Plan, work: Workload, image: Any, suspended: bool) -> Manifest:
    """One job. `Forbid` is a courtesy: the lease in DynamoDB is what keeps two runs apart."""
    settings = environment(plan, SECRETS, SCRATCH)
    container = {
        "name": "tools",
        "image": image,
        "args": schedule.turn(job, work.environment),
        "env": [{"name": name, "value": text} for name, text in settings.items()],
        "securityContext": SECURE,
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "recovery", "mountPath": FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": SCRATCH},
        ],
    }
    pod = {
        "serviceAccountName": BACKUP_ACCOUNT,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": pod_security(TOOLS_USER),
        "initContainers": [fetch(work, as_owner=True)],
        "containers": [container],
        "volumes": [
            {"name": "secrets", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "recovery", "configMap": {"name": "recovery"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": DRILL_SPACE}},
        ],
    }
    return {
        "metadata": metadata(job.name),
        "spec": {
            "schedule": schedule.cron(job),
            "timeZone": "Etc/UTC",
            "suspend": suspended,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 7,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 2,
                    "activeDeadlineSeconds": job.deadline_seconds,
                    "template": {
                        "metadata": {"labels": {**labels(), "component": "recovery"}},
                        "spec": pod,
                    },
                }
            },
        },
    }


def in_cluster(
    settings: Settings, estate: Estate, work: Workload, inside: Callable[[], pulumi.ResourceOptions]
) -> None:
    """A CronJob for each job, the exporter, and the outputs that they read; asleep without a tools image."""
    known = exports(
        settings, estate.network, estate.edge, estate.releases, estate.backups, estate.observability
    )
    outputs = pulumi.Output.json_dumps(known)
    ConfigMap(
        "recovery",
        metadata=metadata("recovery"),
        data={"outputs.json": outputs},
        opts=inside(),
    )
    image = settings.tools_image or pulumi.Output.format(
        "{0}:tools", estate.registry.repository.repository_url
    )
    asleep = settings.tools_image is None
    for job in settings.recovery_plan.jobs():
        made = cron_job(job, settings.recovery_plan, work, image, suspended=asleep)
        CronJob(job.name, **made, opts=inside())
    Deployment("exporter", **exporter.deployment(work, image, asleep, outputs), opts=inside())
