"""Facts from the environment's AWS API; the local system has one too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.check.facts import Backup, Drill, Listener, Quota, Release, Secret, Traffic
from infra.recovery import signing
from infra.recovery.context import Context
from infra.recovery.facts import Bucket, Newest, made_in
from infra.recovery.store import Store
from infra.release.journal import Journal
from infra.release.router import Router
from infra.release.settings import of_stack
from infra.release.state import Phase
from infra.stack.environment import Environment
from infra.stack.naming import Names
from infra.stack.outputs import COLOURS

VCPUS: Final = ("ec2", "L-1216C47A", "on-demand vCPUs")
"""Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances, in vCPUs (Service Quotas, Amazon EC2)."""


def listeners(env: Environment) -> tuple[Listener, ...]:
    """Listeners of the load balancer, by port."""
    pages = env.client("elbv2").get_paginator("describe_listeners")
    found = [one for page in pages.paginate(LoadBalancerArn=env.outputs.alb_arn) for one in page["Listeners"]]
    return tuple(
        Listener(
            port=int(one["Port"]),
            protocol=one["Protocol"],
            policy=one.get("SslPolicy", ""),
            redirects=[action["Type"] for action in one["DefaultActions"]] == ["redirect"],
        )
        for one in sorted(found, key=lambda one: int(one["Port"]))
    )


def traffic(env: Environment) -> Traffic:
    """Live weights, and the health of every target."""
    router = Router(env.client("elbv2"), env.outputs)
    healthy: dict[str, tuple[int, int]] = {}
    for colour in COLOURS:
        # One that leaves is no target any more: a release that drains is no outage.
        states = [one.state for one in router.targets(colour) if one.state not in ("draining", "unused")]
        healthy[colour] = (states.count("healthy"), len(states))
    return Traffic({str(colour): weight for colour, weight in router.read().weights.items()}, healthy)


def release(env: Environment) -> Release | None:
    """The newest release as its journal has it."""
    steps = of_stack(env.outputs).steps
    journal = Journal(env.client("dynamodb"), env.outputs.release_table, env.outputs.environment)
    found = journal.runs(1)
    if not found:
        return None
    one = found[0]
    phase = "succeeded" if one.phase is Phase.SUCCEEDED else str(one.phase)
    return Release(one.version, phase, one.ended, one.force, tuple(steps))


def backups(env: Environment) -> dict[str, Backup]:
    """Of each kind: the newest backup, and the newest that was read back."""
    store = Store(env.client("s3"), env.outputs.backup_bucket, need_kms=False)
    kinds = made_in(env.outputs.compute)
    found = Bucket(store, kinds=kinds).backups()
    return {kind: _backup(found.get(kind)) for kind in kinds}


def _backup(newest: Newest | None) -> Backup:
    if newest is None:
        return Backup(None, None)
    return Backup(_moment(newest.taken), None if newest.verified is None else _moment(newest.verified))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def drill(env: Environment) -> Drill | None:
    """The newest report in the bucket; one that the stack's key did not sign has not passed."""
    place = Context(env, Store(env.client("s3"), env.outputs.backup_bucket, need_kms=False))
    found = Bucket(place.store, signing.checker(place)).drills()
    if found is None:
        return None
    return Drill(
        at=datetime.fromtimestamp(found.at, UTC),
        passed=found.passed,
        rpo_seconds=found.rpo_seconds or 0.0,  # one that never ended has none, and has not passed
        rto_seconds=found.rto_seconds or 0.0,
    )


def receivers(env: Environment) -> tuple[str, ...]:
    """Kinds of the confirmed subscriptions of the alert topic; addresses are nobody's business here."""
    pages = env.client("sns").get_paginator("list_subscriptions_by_topic")
    found = [
        one for page in pages.paginate(TopicArn=env.outputs.alert_topic_arn) for one in page["Subscriptions"]
    ]
    return tuple(one["Protocol"] for one in found if one["SubscriptionArn"].startswith("arn:"))


def secrets(env: Environment) -> tuple[Secret, ...]:
    """Secrets of this environment, and those that RDS made for it (they rotate by themselves)."""
    prefix = Names(env.outputs.environment).path("").removeprefix("/")
    pages = env.client("secretsmanager").get_paginator("list_secrets")
    return tuple(
        Secret(
            name=one["Name"],
            changed=(one.get("LastRotatedDate") or one.get("LastChangedDate")) if _has_value(one) else None,
            rotates=bool(one.get("RotationEnabled")),
        )
        for page in pages.paginate()
        for one in page["SecretList"]
        if one["Name"].startswith(prefix)
    )


def _has_value(secret: dict[str, Any]) -> bool:
    stages = secret.get("SecretVersionsToStages") or {}
    return any("AWSCURRENT" in found for found in stages.values())


def vcpus_of(ec2: Any, instance_type: str) -> int:
    """vCPUs of an instance type."""
    found = ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
    return int(found[0]["VCpuInfo"]["DefaultVCpus"])


def quotas(env: Environment, needed_vcpus: int) -> tuple[Quota, ...]:
    """What the account allows of what both colours at their largest need."""
    service, code, name = VCPUS
    client = env.client("service-quotas")
    which = {"ServiceCode": service, "QuotaCode": code}
    try:
        found = client.get_service_quota(**which)
    except ClientError as failed:
        if failed.response["Error"]["Code"] != "NoSuchResourceException":
            raise
        found = client.get_aws_default_service_quota(**which)  # nobody ever asked for more
    return (Quota(name, float(needed_vcpus), float(found["Quota"]["Value"])),)
