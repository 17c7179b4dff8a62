"""The Kubernetes cluster: API access entries, private endpoint, encrypted secrets, a node group, add-ons."""

from __future__ import annotations

import json
from typing import Any, Final

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import yaml

from infra.stack import firewall
from infra.stack.component import Component
from infra.stack.fleet_ec2 import DISK_GIB, TAGGED, Estate, architecture
from infra.stack.iam import Allow, role, trust_service
from infra.stack.secrets import key
from infra.stack.settings import Settings
from infra.stack.tags import propagated

POD_IDENTITY: Final = trust_service("pods.eks.amazonaws.com", actions=("sts:AssumeRole", "sts:TagSession"))
ADMIN_POLICY: Final = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
LOGS: Final = ("api", "audit", "authenticator", "controllerManager", "scheduler")
# Add-ons in the order of their need; EKS picks the version that fits the cluster's.
ADDONS: Final = ("kube-proxy", "eks-pod-identity-agent", "vpc-cni", "coredns", "metrics-server")
CONTROLLER_CHART: Final = "1.14.1"
AUTOSCALER_CHART: Final = "9.52.1"


class EksCluster(Component):
    """Control plane, nodes, add-ons, the two controllers, and a provider for what runs inside."""

    inside: kubernetes.Provider

    def __init__(self, settings: Settings, estate: Estate, fleet: Component) -> None:
        super().__init__("cluster", settings, fleet.child())
        self.estate = estate
        self.cluster_name = settings.names.of("eks")
        self.cluster = self._control_plane()
        nodes = self._nodes()
        for name in ADDONS:
            self._addon(name, nodes)
        for arn in settings.eks_admin_role_arns:
            self._administrator(arn)
        self.inside = self._access(nodes)
        self._load_balancer_controller()
        self._cluster_autoscaler()
        self._scraper()
        self.register_outputs({"name": self.cluster.name})

    def _control_plane(self) -> aws.eks.Cluster:
        settings, network = self.settings, self.estate.network
        log = self.estate.observability.log_group("eks", self, name=f"/aws/eks/{self.cluster_name}/cluster")
        controller = role(self, "eks", trust_service("eks.amazonaws.com"), managed=["AmazonEKSClusterPolicy"])
        secrets_key = key(self, "eks", self.estate.account)
        public = bool(settings.eks_public_cidrs)
        cluster = aws.eks.Cluster(
            "cluster",
            name=self.cluster_name,
            version=settings.eks_version,
            role_arn=controller.arn,
            # The mode can only move towards API, never back: start there (EKS guide, access entries).
            access_config={
                "authentication_mode": "API",
                "bootstrap_cluster_creator_admin_permissions": True,
            },
            vpc_config={
                "subnet_ids": network.subnet_ids["private"],
                "endpoint_private_access": True,
                "endpoint_public_access": public,
                "public_access_cidrs": list(settings.eks_public_cidrs) if public else None,
            },
            encryption_config={"provider": {"key_arn": secrets_key.arn}, "resources": ["secrets"]},
            enabled_cluster_log_types=list(LOGS),
            upgrade_policy={"support_type": "STANDARD"},
            zonal_shift_config={"enabled": True},
            bootstrap_self_managed_addons=False,
            deletion_protection=settings.protection,
            opts=self.guarded(depends_on=[log]),
        )
        return cluster

    def _nodes(self) -> aws.eks.NodeGroup:
        settings = self.settings
        node = role(
            self,
            "node",
            trust_service("ec2.amazonaws.com"),
            managed=[
                "AmazonEKSWorkerNodePolicy",
                "AmazonEC2ContainerRegistryPullOnly",
                "AmazonSSMManagedInstanceCore",
            ],
        )
        own = self.cluster.vpc_config.cluster_security_group_id
        for name, direction in (("nodes-in", "in"), ("nodes-out", "out")):
            firewall.rule(
                self,
                name,
                "in" if direction == "in" else "out",
                self.estate.edge.service_group,
                None,
                "Nodes and control plane among themselves",
                peer=own,
            )
        tags = propagated(settings, "node")
        template = aws.ec2.LaunchTemplate(
            "node",
            name=settings.names.of("node"),
            update_default_version=True,
            vpc_security_group_ids=[own, self.estate.edge.service_group.id],
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                # One hop: pods use Pod Identity and never the node's role.
                "http_put_response_hop_limit": 1,
            },
            block_device_mappings=[
                {
                    "device_name": "/dev/xvda",
                    "ebs": {"volume_size": DISK_GIB * 2, "volume_type": "gp3", "encrypted": "true"},
                }
            ],
            tag_specifications=[{"resource_type": kind, "tags": tags} for kind in TAGGED],
            opts=self.child(),
        )
        cni = role(self, "cni", POD_IDENTITY, managed=["AmazonEKS_CNI_Policy"])
        self.cni_role_arn = cni.arn
        arm = architecture(settings.instance_types) == "arm64"
        return aws.eks.NodeGroup(
            "nodes",
            cluster_name=self.cluster.name,
            node_role_arn=node.arn,
            subnet_ids=self.estate.network.subnet_ids["private"],
            ami_type="AL2023_ARM_64_STANDARD" if arm else "AL2023_x86_64_STANDARD",
            instance_types=list(settings.instance_types),
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={
                "min_size": max(settings.min_size, 2),
                "desired_size": max(settings.min_size, 2),
                "max_size": settings.max_size,
            },
            update_config={"max_unavailable": 1},
            node_repair_config={"enabled": True},
            opts=self.child(ignore_changes=["scalingConfig.desiredSize"]),
        )

    def _addon(self, name: str, nodes: aws.eks.NodeGroup) -> None:
        identity: list[Any] = []
        configuration = None
        if name == "vpc-cni":
            identity = [{"role_arn": self.cni_role_arn, "service_account": "aws-node"}]
            configuration = json.dumps({"enableNetworkPolicy": "true"})
        waits = [nodes] if name in ("coredns", "metrics-server") else []
        aws.eks.Addon(
            name,
            cluster_name=self.cluster.name,
            addon_name=name,
            configuration_values=configuration,
            pod_identity_associations=identity,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="PRESERVE",
            opts=self.child(depends_on=waits),
        )

    def _administrator(self, arn: str) -> None:
        name = arn.rsplit("/", 1)[-1]
        entry = aws.eks.AccessEntry(
            name, cluster_name=self.cluster.name, principal_arn=arn, opts=self.child()
        )
        aws.eks.AccessPolicyAssociation(
            name,
            cluster_name=self.cluster.name,
            principal_arn=entry.principal_arn,
            policy_arn=ADMIN_POLICY,
            access_scope={"type": "cluster"},
            opts=self.child(),
        )

    def _access(self, nodes: aws.eks.NodeGroup) -> kubernetes.Provider:
        """A kubeconfig without credentials: every call asks IAM for a token."""
        arguments = [
            "eks",
            "get-token",
            "--cluster-name",
            self.cluster_name,
            "--region",
            self.settings.region,
        ]
        kubeconfig = pulumi.Output.json_dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "eks",
                "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "iam"}}],
                "clusters": [
                    {
                        "name": "eks",
                        "cluster": {
                            "server": self.cluster.endpoint,
                            "certificate-authority-data": self.cluster.certificate_authority.data,
                        },
                    }
                ],
                "users": [
                    {
                        "name": "iam",
                        "user": {
                            "exec": {
                                "apiVersion": "client.authentication.k8s.io/v1",
                                "command": "aws",
                                "args": arguments,
                                "interactiveMode": "Never",
                            }
                        },
                    }
                ],
            }
        )
        return kubernetes.Provider(
            "cluster",
            kubeconfig=kubeconfig,
            enable_server_side_apply=True,
            opts=self.child(depends_on=[nodes]),
        )

    def _controller(self, name: str, namespace: str, allow: list[Allow]) -> None:
        """The role of a controller in the cluster, bound to its service account."""
        worker = role(self, name, POD_IDENTITY, allow)
        aws.eks.PodIdentityAssociation(
            name,
            cluster_name=self.cluster.name,
            namespace=namespace,
            service_account=name,
            role_arn=worker.arn,
            opts=self.child(),
        )

    def _load_balancer_controller(self) -> None:
        """It registers pod IPs and no more: the rest is Pulumi's and the release tool's."""
        groups = [group.arn for group in self.estate.edge.target_groups.values()]
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
        self._chart(
            name,
            "aws-load-balancer-controller",
            CONTROLLER_CHART,
            "https://aws.github.io/eks-charts",
            {
                "clusterName": self.cluster.name,
                "region": self.settings.region,
                "vpcId": self.estate.network.vpc_id,
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

    def _cluster_autoscaler(self) -> None:
        name = "cluster-autoscaler"
        mine = {"StringEquals": {"aws:ResourceTag/eks:cluster-name": self.cluster_name}}
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
                    [self.estate.account.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/eks-*")],
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
                "autoDiscovery": {"clusterName": self.cluster.name},
                "awsRegion": self.settings.region,
                "rbac": {"serviceAccount": {"create": True, "name": name}},
            },
        )

    def _chart(self, name: str, chart: str, version: str, repository: str, values: dict[str, Any]) -> None:
        kubernetes.helm.v3.Release(
            name,
            name=name,
            chart=chart,
            version=version,
            namespace="kube-system",
            repository_opts={"repo": repository},
            values=values,
            atomic=True,
            timeout=300,
            opts=self.child(provider=self.inside),
        )

    def _scraper(self) -> None:
        """A collector that AWS runs: it finds our pods and writes to the metric store."""
        observability = self.estate.observability
        configuration = {
            "global": {"scrape_interval": "15s"},
            "scrape_configs": [
                {
                    "job_name": "superagent",
                    "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": ["superagent"]}}],
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
                        {"target_label": "environment", "replacement": self.settings.environment},
                    ],
                }
            ],
        }
        text = yaml.safe_dump(configuration, sort_keys=False)
        aws.amp.Scraper(
            "pods",
            alias=self.settings.names.of("pods"),
            scrape_configuration=text,
            source={
                "eks": {
                    "cluster_arn": self.cluster.arn,
                    "subnet_ids": self.estate.network.subnet_ids["private"],
                    "security_group_ids": [self.estate.edge.service_group.id],
                }
            },
            destination={"amp": {"workspace_arn": observability.workspace.arn}},
            opts=self.child(),
        )
