"""Both colours as Deployments in one cluster, in the same target groups as the EC2 fleet would use."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.autoscaling.v2 import HorizontalPodAutoscaler
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, Service, ServiceAccount
from pulumi_kubernetes.networking.v1 import NetworkPolicy
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

from infra.stack import kubernetes_objects as objects
from infra.stack import kubernetes_pods as pods
from infra.stack import recovery_cronjobs, recovery_jobs, service_environment
from infra.stack.component import Component
from infra.stack.eks_cluster import EksCluster
from infra.stack.eks_controllers import POD_IDENTITY
from infra.stack.fetch import Sources, script
from infra.stack.fleet_ec2 import Estate, may, owns
from infra.stack.iam import Allow, role
from infra.stack.outputs import COLOURS, Colour
from infra.stack.settings import Settings

# The release tool's: Pulumi writes them once.
RELEASED = ["spec.replicas", "spec.template.spec.containers[0].image", "spec.template.spec.containers[0].env"]


class FleetEks(Component):
    """Cluster, namespace, per colour everything that a Deployment needs, and the recovery jobs."""

    def __init__(self, settings: Settings, estate: Estate) -> None:
        super().__init__("fleet", settings)
        self.estate = estate
        self.cluster = EksCluster(settings, estate, self)
        self.work = self._workload()
        self.namespace = Namespace("superagent", **objects.namespace(), opts=self._inside())
        self._identity("superagent", objects.ACCOUNT, may(settings, estate))
        jobs = recovery_jobs.rights(estate.backups, estate.releases)
        owner = [*may(settings, estate), owns(estate)]
        self._identity("backup-job", objects.BACKUP_ACCOUNT, [*owner, *jobs])
        self._identity("migrate-job", objects.MIGRATE_ACCOUNT, owner)
        self._identity(
            "exporter", objects.EXPORTER_ACCOUNT, recovery_jobs.reading(estate.backups, estate.releases)
        )
        for account in objects.ACCOUNTS:
            ServiceAccount(
                account,
                metadata=objects.metadata(account),
                automount_service_account_token=False,
                opts=self._inside(self.namespace),
            )
        ConfigMap("settings", **objects.config_map(self.work), opts=self._inside(self.namespace))
        NetworkPolicy("service", **objects.network_policy(self.work), opts=self._inside(self.namespace))
        for colour in COLOURS:
            self._colour(colour)
        recovery_cronjobs.in_cluster(settings, estate, self.work, lambda: self._inside(self.namespace))
        self.register_outputs({"cluster": self.cluster.cluster.name})

    def _inside(self, *needs: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:
        return self.child(provider=self.cluster.inside, depends_on=list(needs), **options)

    def _workload(self) -> objects.Workload:
        settings, estate = self.settings, self.estate
        fetch_script = pulumi.Output.all(
            database_pointer=estate.releases.database_pointer.name,
            database_user=estate.database.service_user,
            cache_secret=estate.secrets.cache_auth.name,
            cache_address=estate.cache.address,
            providers_secret=estate.secrets.providers.name,
            given={name: secret.name for name, secret in estate.secrets.given.items()},
        ).apply(lambda names: script(Sources(region=settings.region, **names), objects.SECRETS))
        return objects.Workload(
            environment=settings.environment,
            region=settings.region,
            image=pulumi.Output.format(
                "{0}:{1}", estate.registry.repository.repository_url, settings.initial_image
            ),
            fetch_script=fetch_script,
            service_port=settings.service_port,
            metrics_port=settings.metrics_port,
            drain_seconds=settings.longest_stream_seconds,
            min_replicas=max(settings.min_size, 1),
            max_replicas=settings.max_size,
            cpu_target=settings.cpu_target_percent,
            vpc_cidr=settings.vpc_cidr,
            settings={
                **service_environment.given(
                    settings.service_settings, settings.service_secrets, objects.SECRETS
                ),
                **service_environment.decided(
                    environment=settings.environment,
                    region=settings.region,
                    service_port=settings.service_port,
                    metrics_port=settings.metrics_port,
                    drain_seconds=settings.longest_stream_seconds,
                    secrets=objects.SECRETS,
                ),
            },
        )

    def _identity(self, name: str, account: str, allow: list[Allow]) -> None:
        worker = role(self, name, POD_IDENTITY, allow)
        aws.eks.PodIdentityAssociation(
            name,
            cluster_name=self.cluster.cluster.name,
            namespace=objects.NAMESPACE,
            service_account=account,
            role_arn=worker.arn,
            opts=self.child(),
        )

    def _colour(self, colour: Colour) -> None:
        work, inside = self.work, self._inside
        deployment = Deployment(
            colour,
            **pods.deployment(work, colour),
            opts=inside(self.namespace, ignore_changes=RELEASED),
        )
        service = Service(colour, **objects.service(work, colour), opts=inside(self.namespace))
        binding = objects.target_group_binding(work, colour, self.estate.edge.target_groups[colour].arn)
        CustomResource(
            f"{colour}-targets",
            api_version="elbv2.k8s.aws/v1beta1",
            kind="TargetGroupBinding",
            metadata=binding["metadata"],
            spec=binding["spec"],
            # The controller brings the kind, and without it nobody takes a binding's finalizer off again.
            opts=inside(service, self.cluster.load_balancer_controller),
        )
        HorizontalPodAutoscaler(
            colour,
            **objects.autoscaler(work, colour),
            # The release tool holds the floor up while a release is under way.
            opts=inside(deployment, ignore_changes=["spec.minReplicas"]),
        )
        PodDisruptionBudget(colour, **objects.disruption_budget(colour), opts=inside(deployment))
