"""What the cluster needs besides itself: two controllers with few rights, a collector that AWS runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import yaml

from infra.stack import exporter
from infra.stack.component import Component
from infra.stack.fleet_ec2 import Estate
from infra.stack.iam import Allow, role, trust_service
from infra.stack.kubernetes_objects import NAMESPACE

POD_IDENTITY: Final = trust_service("pods.eks.amazonaws.com", actions=("sts:AssumeRole", "sts:TagSession"))
# Sources and dates of these and other versions: docs/operations/environments.md, "Versions".
CONTROLLER_CHART: Final = "3.4.0"
AUTOSCALER_CHART: Final = "9.57.0"


@dataclass(frozen=True, slots=True)
class Home:
    """The cluster as its controllers need it."""

    parent: Component
    estate: Estate
    cluster: aws.eks.Cluster
    cluster_name: str
    inside: kubernetes.Provider

    def child(self, **options: Any) -> pulumi.ResourceOptions:
        return self.parent.child(**options)


class Controllers:
    """Charts with their roles; the cluster is their parent."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def _controller(self, name: str, namespace: str, allow: list[Allow]) -> None:
        """The role of a controller in the cluster, bound to its service account."""
        worker = role(self.home.parent, name, POD_IDENTITY, allow)
        aws.eks.PodIdentityAssociation(
            name,
            cluster_name=self.home.cluster.name,
            namespace=namespace,
            service_account=name,
            role_arn=worker.arn,
            opts=self.home.child(),
        )

    def load_balancer(self) -> kubernetes.helm.v3.Release:
        """It registers pod IPs and no more: the rest is Pulumi's and the release tool's."""
        groups = [group.arn for group in self.home.estate.edge.target_groups.values()]
        name = "load-balancer-controller"
        self._controller(
            name,
            "kube-system",
            [
                Allow(
                    "Look",
                    [
                        "elasticloadbalancing:DescribeTargetGroups",
                        "elasticloadbalancing:DescribeTargetHealth",
                        "elasticloadbalancing:DescribeTargetGroupAttributes",
                        "ec2:DescribeVpcs",
                        "ec2:DescribeSubnets",
                        "ec2:DescribeSecurityGroups",
                        "ec2:DescribeInstances",
                        "ec2:DescribeNetworkInterfaces",
                        "ec2:DescribeAvailabilityZones",
                    ],
                    ["*"],
                ),
                Allow(
                    "Register",
                    ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
                    groups,
                ),
            ],
        )
        return self._chart(
            name,
            "aws-load-balancer-controller",
            CONTROLLER_CHART,
            "https://aws.github.io/eks-charts",
            {
                "clusterName": self.home.cluster.name,
                "region": self.home.parent.settings.region,
                "vpcId": self.home.estate.network.vpc_id,
                "replicaCount": 2,
                "serviceAccount": {"create": True, "name": name},
                # Nobody else may make load balancers in this cluster.
                "createIngressClassResource": False,
                "enableServiceMutatorWebhook": False,
                "enableShield": False,
                "enableWaf": False,
                "enableWafv2": False,
            },
        )

    def cluster_autoscaler(self) -> None:
        name = "cluster-autoscaler"
        account = self.home.estate.account
        groups = account.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/eks-*")
        mine = {"StringEquals": {"aws:ResourceTag/eks:cluster-name": self.home.cluster_name}}
        self._controller(
            name,
            "kube-system",
            [
                Allow(
                    "Look",
                    [
                        "autoscaling:DescribeAutoScalingGroups",
                        "autoscaling:DescribeAutoScalingInstances",
                        "autoscaling:DescribeScalingActivities",
                        "autoscaling:DescribeTags",
                        "ec2:DescribeImages",
                        "ec2:DescribeInstanceTypes",
                        "ec2:DescribeLaunchTemplateVersions",
                        "ec2:GetInstanceTypesFromInstanceRequirements",
                        "eks:DescribeNodegroup",
                    ],
                    ["*"],
                ),
                Allow(
                    "Scale",
                    ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
                    [groups],
                    mine,
                ),
            ],
        )
        self._chart(
            name,
            "cluster-autoscaler",
            AUTOSCALER_CHART,
            "https://kubernetes.github.io/autoscaler",
            {
                "autoDiscovery": {"clusterName": self.home.cluster.name},
                "awsRegion": self.home.parent.settings.region,
                "rbac": {"serviceAccount": {"create": True, "name": name}},
            },
        )

    def _chart(
        self, name: str, chart: str, version: str, repository: str, values: dict[str, Any]
    ) -> kubernetes.helm.v3.Release:
        return kubernetes.helm.v3.Release(
            name,
            name=name,
            chart=chart,
            version=version,
            namespace="kube-system",
            repository_opts={"repo": repository},
            values=values,
            atomic=True,
            timeout=300,
            opts=self.home.child(provider=self.home.inside),
        )

    def scraper(self) -> None:
        """A collector that AWS runs: it finds our pods and writes to the metric store."""
        observability = self.home.estate.observability
        configuration = {
            "global": {"scrape_interval": "15s"},
            "scrape_configs": [
                {
                    "job_name": "superagent",
                    "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [NAMESPACE]}}],
                    "relabel_configs": [
                        {
                            "source_labels": ["__meta_kubernetes_pod_container_port_name"],
                            "regex": "metrics",
                            "action": "keep",
                        },
                        {
                            "source_labels": ["__meta_kubernetes_pod_label_superagent_colour"],
                            "target_label": "colour",
                        },
                        {"target_label": "environment", "replacement": self.home.parent.settings.environment},
                    ],
                },
                exporter.in_cluster(self.home.parent.settings.environment, NAMESPACE),
            ],
        }
        text = yaml.safe_dump(configuration, sort_keys=False)
        aws.amp.Scraper(
            "pods",
            alias=self.home.parent.settings.names.of("pods"),
            scrape_configuration=text,
            source={
                "eks": {
                    "cluster_arn": self.home.cluster.arn,
                    "subnet_ids": self.home.estate.network.subnet_ids["private"],
                    # The cluster's own group: the API server and every pod let it in (AMP guide).
                    "security_group_ids": [self.home.cluster.vpc_config.cluster_security_group_id],
                }
            },
            destination={"amp": {"workspace_arn": observability.workspace.arn}},
            opts=self.home.child(),
        )
