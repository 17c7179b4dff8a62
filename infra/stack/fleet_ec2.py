"""Two Auto Scaling groups, one a colour. The release tool says how large each is and which image it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.stack import bootstrap, service_environment
from infra.stack.account import Account
from infra.stack.autoscaling import METRIC_NAMESPACE, Autoscaling
from infra.stack.backups import Backups
from infra.stack.cache import Cache
from infra.stack.component import Component
from infra.stack.database import Database
from infra.stack.edge import Edge
from infra.stack.exports import exports
from infra.stack.iam import Allow, role, trust_service
from infra.stack.network import Network
from infra.stack.observability import Observability
from infra.stack.outputs import COLOURS, Colour
from infra.stack.recovery_jobs import rights
from infra.stack.registry import Registry
from infra.stack.releases import Releases
from infra.stack.rules import graviton
from infra.stack.secrets import Secrets
from infra.stack.settings import Settings
from infra.stack.tags import propagated

MACHINE_IMAGE: Final = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
"""Public parameter of the newest Amazon Linux 2023; resolved when an instance starts."""
DISK_GIB: Final = 30
TAGGED: Final = ("instance", "volume", "network-interface")


@dataclass(frozen=True, slots=True)
class Estate:
    """The components that a fleet stands on."""

    account: Account
    network: Network
    edge: Edge
    secrets: Secrets
    registry: Registry
    database: Database
    cache: Cache
    releases: Releases
    backups: Backups
    observability: Observability
    github: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    """ARNs of the roles that GitHub may assume, by name; none without a repository."""


def architecture(instance_types: tuple[str, ...]) -> str:
    """`arm64` for Graviton types, else `x86_64` (settings refuse a mixture)."""
    return "arm64" if graviton(instance_types[0]) else "x86_64"


def may(settings: Settings, estate: Estate) -> list[Allow]:
    """What a running service may do in AWS, on either compute."""
    account, releases = estate.account, estate.releases
    given = [secret.arn for secret in estate.secrets.given.values()]
    return [
        Allow(
            "ReadSecrets",
            ["secretsmanager:GetSecretValue"],
            [estate.secrets.providers.arn, estate.secrets.cache_auth.arn, *given],
        ),
        *([Allow("SeeWhetherPut", ["secretsmanager:ListSecretVersionIds"], given)] if given else []),
        Allow(
            "ConnectToDatabase",
            ["rds-db:connect"],
            # One user of any instance: a restored database is another resource, in the middle of the night.
            [account.arn("rds-db", f"dbuser:*/{estate.database.service_user}")],
        ),
        Allow("UseDataKey", ["kms:Decrypt"], [estate.secrets.data_key.arn]),
        Allow(
            "ReadParameters",
            ["ssm:GetParameter"],
            [*(image.arn for image in releases.images.values()), releases.database_pointer.arn],
        ),
        Allow(
            "FindDatabase",
            ["rds:DescribeDBInstances"],
            [account.arn("rds", f"db:{settings.names.of('*')}")],
        ),
        Allow("WriteMetrics", ["aps:RemoteWrite"], [estate.observability.workspace.arn]),
        Allow(
            "WriteLogs",
            ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            [estate.observability.service_logs.arn.apply(lambda arn: f"{arn}:*")],
        ),
    ]  # fmt: skip


def owns(estate: Estate) -> Allow:
    """What whoever migrates, dumps or restores may do besides: read the login of the database's owner."""
    return Allow(
        "ReadOwner",
        ["secretsmanager:GetSecretValue"],
        # RDS names the secret of an instance itself; a restored database brings a new one. Another
        # environment's is closed by its key.
        [estate.account.arn("secretsmanager", "secret:rds!db-*")],
    )


class FleetEc2(Component):
    """Launch template and Auto Scaling group per colour, one role for both."""

    def __init__(self, settings: Settings, estate: Estate) -> None:
        super().__init__("fleet", settings)
        self.estate = estate
        self.profile = self._instance_profile()
        self.groups: dict[Colour, aws.autoscaling.Group] = {
            colour: self._group(colour, self._template(colour)) for colour in COLOURS
        }
        for colour, group in self.groups.items():
            Autoscaling(settings, colour, group, estate.edge, self)
        self.register_outputs({colour: group.name for colour, group in self.groups.items()})

    def _instance_profile(self) -> aws.iam.InstanceProfile:
        instance = role(
            self,
            "instance",
            trust_service("ec2.amazonaws.com"),
            [
                *may(self.settings, self.estate),
                # Migrations run here (Run Command): an instance may become the owner, its service does not.
                owns(self.estate),
                *(rights(self.estate.backups, self.estate.releases) if self.settings.tools_image else []),
                Allow(
                    "ScalingMetrics",
                    ["cloudwatch:PutMetricData"],
                    ["*"],
                    {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACE}},
                ),
            ],
            # Session Manager instead of SSH: no open port, no key, every session in CloudTrail.
            managed=["AmazonSSMManagedInstanceCore", "AmazonEC2ContainerRegistryPullOnly"],
        )
        return aws.iam.InstanceProfile(
            "instance", name=self.settings.names.of("instance"), role=instance.name, opts=self.child()
        )

    def _boot(self, colour: Colour) -> pulumi.Output[str]:
        settings, estate = self.settings, self.estate
        values: dict[str, Any] = {
            "environment": settings.environment,
            "region": settings.region,
            "colour": colour,
            "registry": estate.registry.repository.repository_url.apply(lambda url: url.split("/")[0]),
            "image_parameter": estate.releases.images[colour].name,
            "database_pointer": estate.releases.database_pointer.name,
            "database_user": estate.database.service_user,
            "cache_address": estate.cache.address,
            "cache_secret": estate.secrets.cache_auth.name,
            "providers_secret": estate.secrets.providers.name,
            "log_group": estate.observability.service_logs.name,
            "remote_write_url": pulumi.Output.format(
                "{0}api/v1/remote_write", estate.observability.workspace.prometheus_endpoint
            ),
            "service_port": settings.service_port,
            "metrics_port": settings.metrics_port,
            "drain_seconds": settings.longest_stream_seconds,
            "given": service_environment.given(
                settings.service_settings, settings.service_secrets, bootstrap.SECRETS
            ),
            "secrets": {name: secret.name for name, secret in estate.secrets.given.items()},
            "recovery": self._recovery(),
        }
        return pulumi.Output.json_dumps(values).apply(
            lambda text: bootstrap.packed(bootstrap.from_json(text))
        )

    def _recovery(self) -> dict[str, Any] | None:
        """What the timers of the recovery jobs need; nothing without a tools image."""
        settings, estate = self.settings, self.estate
        if settings.tools_image is None:
            return None
        known = exports(
            settings, estate.network, estate.edge, estate.releases, estate.backups, estate.observability
        )
        return {
            "image": settings.tools_image,
            "outputs": pulumi.Output.json_dumps(known),
            "plan": asdict(settings.recovery_plan),
        }

    def _template(self, colour: Colour) -> aws.ec2.LaunchTemplate:
        name = f"fleet-{colour}"
        tags = {**propagated(self.settings, name), "Colour": colour}
        parameter = MACHINE_IMAGE + architecture(self.settings.instance_types)
        return aws.ec2.LaunchTemplate(
            name,
            name=self.settings.names.of(name),
            image_id=f"resolve:ssm:{parameter}",
            instance_type=self.settings.instance_types[0],
            user_data=self._boot(colour),
            update_default_version=True,
            ebs_optimized="true",
            iam_instance_profile={"arn": self.profile.arn},
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                # Containers on the host network reach the metadata service in one hop.
                "http_put_response_hop_limit": 1,
                "instance_metadata_tags": "disabled",
            },
            monitoring={"enabled": True},
            network_interfaces=[
                {
                    "associate_public_ip_address": "false",
                    "delete_on_termination": "true",
                    "security_groups": [self.estate.edge.service_group.id],
                }
            ],
            block_device_mappings=[
                {
                    "device_name": "/dev/xvda",
                    "ebs": {
                        "volume_size": DISK_GIB,
                        "volume_type": "gp3",
                        "encrypted": "true",
                        "delete_on_termination": "true",
                    },
                }
            ],
            tag_specifications=[{"resource_type": kind, "tags": tags} for kind in TAGGED],
            opts=self.child(),
        )

    def _group(self, colour: Colour, template: aws.ec2.LaunchTemplate) -> aws.autoscaling.Group:
        settings = self.settings
        tags = {**propagated(settings, f"fleet-{colour}"), "Colour": colour}
        warm: aws.autoscaling.GroupWarmPoolArgsDict = {"pool_state": "Stopped", "min_size": 1}
        return aws.autoscaling.Group(
            f"fleet-{colour}",
            # A fixed name: the release tool finds a colour by it.
            name=settings.names.of(colour),
            min_size=0,
            max_size=settings.max_size,
            desired_capacity=0,
            vpc_zone_identifiers=self.estate.network.subnet_ids["private"],
            target_group_arns=[self.estate.edge.target_groups[colour].arn],
            health_check_type="ELB",
            health_check_grace_period=settings.instance_warmup_seconds * 2,
            default_instance_warmup=settings.instance_warmup_seconds,
            capacity_rebalance=True,
            max_instance_lifetime=60 * 60 * 24 * 30,
            termination_policies=["OldestLaunchTemplate", "Default"],
            enabled_metrics=[
                aws.autoscaling.Metric.GROUP_DESIRED_CAPACITY,
                aws.autoscaling.Metric.GROUP_IN_SERVICE_INSTANCES,
                aws.autoscaling.Metric.GROUP_PENDING_INSTANCES,
            ],
            mixed_instances_policy={
                "launch_template": {
                    "launch_template_specification": {
                        "launch_template_id": template.id,
                        # The number, not $Latest: only a change of it is a change (pulumi-aws#1577).
                        "version": template.latest_version.apply(str),
                    },
                    "overrides": [{"instance_type": one} for one in settings.instance_types],
                },
                "instances_distribution": {
                    "on_demand_base_capacity": 0,
                    "on_demand_percentage_above_base_capacity": 100,
                    "on_demand_allocation_strategy": "prioritized",
                },
            },
            initial_lifecycle_hooks=[
                {
                    "name": "drain",
                    "lifecycle_transition": "autoscaling:EC2_INSTANCE_TERMINATING",
                    # Deregistration comes first; the hook keeps the instance while streams end.
                    "heartbeat_timeout": settings.deregistration_delay_seconds,
                    "default_result": "CONTINUE",
                }
            ],
            warm_pool=warm if settings.warm_pool else None,
            wait_for_capacity_timeout="0",
            tags=[
                {"key": key, "value": value, "propagate_at_launch": True}
                for key, value in {**tags, "MinSize": str(settings.min_size)}.items()
            ],
            opts=self.child(ignore_changes=["desiredCapacity", "minSize"]),
        )
