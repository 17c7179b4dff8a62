"""The Kubernetes cluster: API access entries, private endpoint, encrypted secrets, a node group, add-ons."""

from __future__ import annotations

import json
from typing import Any, Final

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from infra.stack import firewall
from infra.stack.component import Component
from infra.stack.eks_controllers import POD_IDENTITY, Controllers, Home
from infra.stack.fleet_ec2 import DISK_GIB, TAGGED, Estate, architecture
from infra.stack.iam import role, trust_service
from infra.stack.kubernetes_objects import NAMESPACE
from infra.stack.outputs import COLOURS
from infra.stack.secrets import key
from infra.stack.settings import Settings
from infra.stack.tags import propagated

ADMIN_POLICY: Final = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
EDIT_POLICY: Final = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy"
VIEW_POLICY: Final = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAdminViewPolicy"
Scope = aws.eks.AccessPolicyAssociationAccessScopeArgsDict
ENTRIES: Final[dict[str, tuple[str, Scope]]] = {
    "release": (EDIT_POLICY, {"type": "namespace", "namespaces": [NAMESPACE]}),
    # `pulumi refresh` reads every object, those of charts and their Secrets too, or it fails as a whole.
    "preview": (VIEW_POLICY, {"type": "cluster"}),
    # EKS lets in who made the cluster: the administrator of the first `pulumi up`, not the workflow's role.
    "deploy": (ADMIN_POLICY, {"type": "cluster"}),
}
"""Roles of GitHub that come into the cluster."""
FEWEST_NODES: Final = 2
LOGS: Final = ("api", "audit", "authenticator", "controllerManager", "scheduler")
# Add-ons in the order of their need; EKS picks the version that fits the cluster's.
ADDONS: Final = ("kube-proxy", "eks-pod-identity-agent", "vpc-cni", "coredns", "metrics-server")


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
        for name, (policy, scope) in ENTRIES.items():
            if name in estate.github:
                self._entry(name, estate.github[name], policy, scope)
        self.inside = self._access(nodes)
        controllers = Controllers(Home(self, estate, self.cluster, self.cluster_name, self.inside))
        self.load_balancer_controller = controllers.load_balancer()
        controllers.cluster_autoscaler()
        controllers.scraper()
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
                "min_size": max(settings.min_size, FEWEST_NODES),
                "desired_size": max(settings.min_size, FEWEST_NODES),
                # A release brings the new colour to the size of the old one, and a small node holds one pod.
                "max_size": max(settings.max_size * len(COLOURS), FEWEST_NODES),
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
        self._entry(arn.rsplit("/", 1)[-1], arn, ADMIN_POLICY, {"type": "cluster"})

    def _entry(self, name: str, arn: pulumi.Input[str], policy: str, scope: Scope) -> None:
        """Let a role in, with one of EKS's own policies."""
        entry = aws.eks.AccessEntry(
            name, cluster_name=self.cluster.name, principal_arn=arn, opts=self.child()
        )
        aws.eks.AccessPolicyAssociation(
            name,
            cluster_name=self.cluster.name,
            principal_arn=entry.principal_arn,
            policy_arn=policy,
            access_scope=scope,
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
