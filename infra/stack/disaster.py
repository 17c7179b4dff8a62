"""The second region: a closed network and a running copy of the database, ready to be promoted."""

from __future__ import annotations

from ipaddress import IPv4Network

import pulumi_aws as aws

from infra.stack import addresses
from infra.stack.account import Account
from infra.stack.component import Component
from infra.stack.database import AUTHORITY, PORT, Database, most_storage, parameters
from infra.stack.secrets import key
from infra.stack.settings import Settings


def neighbour(block: str) -> str:
    """The block after the VPC's own, so that both can be peered after a promotion."""
    own = IPv4Network(block)
    return str(IPv4Network((int(own.network_address) + own.num_addresses, own.prefixlen)))


class DisasterRecovery(Component):
    """Data subnets without any way out, and a cross-region read replica."""

    def __init__(self, settings: Settings, account: Account, database: Database) -> None:
        super().__init__("disaster-recovery", settings)
        region = settings.replica_region
        block = neighbour(settings.vpc_cidr)
        own_key = key(self, "data-replica", account, region=region)
        vpc = aws.ec2.Vpc(
            "replica",
            cidr_block=block,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            region=region,
            opts=self.guarded(),
        )
        aws.ec2.DefaultSecurityGroup("replica-closed", vpc_id=vpc.id, region=region, opts=self.child())
        subnets = [
            aws.ec2.Subnet(
                f"replica-data-{az}",
                vpc_id=vpc.id,
                availability_zone=az,
                cidr_block=addresses.subnet(block, "data", az),
                map_public_ip_on_launch=False,
                region=region,
                opts=self.child(),
            )
            for az in settings.replica_availability_zones
        ]
        group = aws.ec2.SecurityGroup(
            "replica",
            name=settings.names.of("database-dr"),
            description="Postgres replica; opened when it is promoted",
            vpc_id=vpc.id,
            region=region,
            opts=self.child(),
        )
        family = f"postgres{settings.database_version.split('.')[0]}"
        group_of_parameters = aws.rds.ParameterGroup(
            "replica",
            # As the primary's: a new family is a new group beside the old one.
            name=settings.names.of(f"database-dr-{family}"),
            family=family,
            parameters=parameters(),
            region=region,
            opts=self.child(),
        )
        self.replica = aws.rds.Instance(
            "replica",
            identifier=settings.names.of("database-dr"),
            replicate_source_db=database.primary.arn,
            instance_class=settings.database_class,
            db_subnet_group_name=aws.rds.SubnetGroup(
                "replica",
                name=settings.names.of("database-dr"),
                subnet_ids=[subnet.id for subnet in subnets],
                region=region,
                opts=self.child(),
            ).name,
            parameter_group_name=group_of_parameters.name,
            vpc_security_group_ids=[group.id],
            port=PORT,
            publicly_accessible=False,
            max_allocated_storage=most_storage(settings),
            ca_cert_identifier=AUTHORITY,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=own_key.arn,
            iam_database_authentication_enabled=True,
            auto_minor_version_upgrade=False,
            copy_tags_to_snapshot=True,
            # Ready to be promoted: a promoted instance without backups would be naked.
            backup_retention_period=settings.backup_retention_days,
            deletion_protection=settings.protection,
            skip_final_snapshot=True,
            performance_insights_enabled=True,
            performance_insights_kms_key_id=own_key.arn,
            performance_insights_retention_period=7,
            region=region,
            opts=self.guarded(),
        )
        self.register_outputs({"replica": self.replica.arn})
