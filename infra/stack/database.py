"""RDS Postgres: Multi-AZ, encrypted, TLS only, point-in-time recovery, a password that nobody knows."""

from __future__ import annotations

from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.stack import firewall
from infra.stack.component import Component
from infra.stack.iam import role, trust_service
from infra.stack.network import Network
from infra.stack.observability import Observability
from infra.stack.secrets import Secrets
from infra.stack.settings import Settings

PORT: Final = 5432
MASTER: Final = "superagent"
MONITORING_SECONDS: Final = 60
BACKUP_WINDOW: Final = "01:00-01:45"
MAINTENANCE_WINDOW: Final = "sun:02:30-sun:03:30"
"""After the backup window, before Europe's morning."""

AUTHORITY: Final = "rds-ca-rsa2048-g1"
MOST_STORAGE: Final = 5
"""Times the first size that storage grows to by itself."""
LARGEST_STORAGE: Final = 65_536
"""GiB (RDS user guide, gp3 for PostgreSQL)."""
LOGS: Final = ("postgresql", "upgrade")

# name -> (value, needs a reboot); sources: RDS "Best practices for PostgreSQL", PostgreSQL 17 manual
PARAMETERS: Final[dict[str, tuple[str, bool]]] = {
    "rds.force_ssl": ("1", False),
    "shared_preload_libraries": ("pg_stat_statements", True),
    "track_io_timing": ("1", False),
    "log_min_duration_statement": ("500", False),  # ms
    "log_lock_waits": ("1", False),
    "log_temp_files": ("10240", False),  # kB
    "idle_in_transaction_session_timeout": ("60000", False),  # ms; a forgotten transaction blocks vacuum
    "lock_timeout": ("10000", False),  # ms
    "random_page_cost": ("1.1", False),  # SSD
    "autovacuum_vacuum_scale_factor": ("0.05", False),  # the usage table is large and only appended to
    "autovacuum_analyze_scale_factor": ("0.02", False),
    "wal_compression": ("zstd", False),
}


def parameters() -> list[aws.rds.ParameterGroupParameterArgsDict]:
    """`PARAMETERS` as RDS takes them; a promoted replica of another region has the same."""
    return [
        {"name": name, "value": value, "apply_method": "pending-reboot" if reboot else "immediate"}
        for name, (value, reboot) in PARAMETERS.items()
    ]


def most_storage(settings: Settings) -> int | None:
    """GiB that storage grows to by itself; none when it has all that RDS gives already."""
    first = settings.database_storage_gib
    return min(first * MOST_STORAGE, LARGEST_STORAGE) if first < LARGEST_STORAGE else None


class Database(Component):
    """The primary, its parameter and subnet groups, an optional read replica."""

    def __init__(
        self,
        settings: Settings,
        network: Network,
        secrets: Secrets,
        observability: Observability,
        clients: aws.ec2.SecurityGroup,
    ) -> None:
        super().__init__("database", settings)
        self.group = firewall.group(self, "database", network.vpc_id, "Postgres, from the service alone")
        firewall.rule(self, "database-in", "in", self.group, PORT, "Service", peer=clients)
        firewall.rule(self, "database-out", "out", clients, PORT, "Postgres", peer=self.group)
        self.key_arn = secrets.data_key.arn
        self.subnet_group = aws.rds.SubnetGroup(
            "database",
            name=settings.names.of("database"),
            subnet_ids=network.subnet_ids["data"],
            opts=self.child(),
        )
        family = f"postgres{settings.database_version.split('.')[0]}"
        self.parameters = aws.rds.ParameterGroup(
            "database",
            # A major upgrade needs a new family, and the old group stays until the instance has left it.
            name=settings.names.of(f"database-{family}"),
            family=family,
            parameters=parameters(),
            opts=self.child(),
        )
        self.monitor = role(
            self,
            "database-monitor",
            trust_service("monitoring.rds.amazonaws.com"),
            managed=["service-role/AmazonRDSEnhancedMonitoringRole"],
        )
        logs = self._logs(observability, "postgres", self.identifier)
        self.primary = aws.rds.Instance(
            "primary",
            identifier=self.identifier,
            engine="postgres",
            engine_version=settings.database_version,
            instance_class=settings.database_class,
            db_name=settings.database,
            username=MASTER,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=secrets.data_key.key_id,
            allocated_storage=settings.database_storage_gib,
            backup_retention_period=settings.backup_retention_days,
            backup_window=BACKUP_WINDOW,
            delete_automated_backups=not settings.protection,
            multi_az=settings.multi_az,
            db_subnet_group_name=self.subnet_group.name,
            deletion_protection=settings.protection,
            skip_final_snapshot=not settings.protection,
            final_snapshot_identifier=settings.names.of("final") if settings.protection else None,
            **self.common(),
            # After its end a version is upgraded by AWS instead of being billed extra, as the cluster's is.
            engine_lifecycle_support="open-source-rds-extended-support-disabled",
            opts=self.guarded(depends_on=logs),
        )
        if settings.read_replica:
            reader = settings.names.of("database-replica")
            logs = self._logs(observability, "postgres-replica", reader)
            self.replica = aws.rds.Instance(
                "replica",
                identifier=reader,
                replicate_source_db=self.primary.identifier,
                instance_class=settings.database_class,
                # A replica has no backups of its own and is made again in minutes.
                skip_final_snapshot=True,
                backup_retention_period=0,
                **self.common(),
                opts=self.child(depends_on=logs),
            )
        aws.rds.EventSubscription(
            "database",
            name=settings.names.of("database"),
            sns_topic=observability.alerts.arn,
            source_type="db-instance",
            source_ids=[self.primary.identifier],
            event_categories=["failover", "failure", "low storage", "maintenance", "recovery"],
            opts=self.child(),
        )
        self.register_outputs({"identifier": self.primary.identifier})

    def _logs(self, observability: Observability, name: str, instance: str) -> list[aws.cloudwatch.LogGroup]:
        """The groups that RDS would make by itself, without encryption and for ever."""
        return [
            observability.log_group(
                name if kind == LOGS[0] else f"{name}-{kind}",
                self,
                name=f"/aws/rds/instance/{instance}/{kind}",
            )
            for kind in LOGS
        ]

    @property
    def identifier(self) -> str:
        return self.settings.names.of("database")

    def common(self) -> dict[str, Any]:
        """What a primary and its replica share; a replica inherits none of it reliably."""
        return {
            "parameter_group_name": self.parameters.name,
            "vpc_security_group_ids": [self.group.id],
            "port": PORT,
            "publicly_accessible": False,
            # A replica that cannot grow with its primary stops replicating when it is full.
            "max_allocated_storage": most_storage(self.settings),
            "storage_type": "gp3",
            "storage_encrypted": True,
            "kms_key_id": self.key_arn,
            "iam_database_authentication_enabled": True,
            "auto_minor_version_upgrade": False,
            "allow_major_version_upgrade": False,
            "apply_immediately": False,
            "maintenance_window": MAINTENANCE_WINDOW,
            "copy_tags_to_snapshot": True,
            "performance_insights_enabled": True,
            "performance_insights_kms_key_id": self.key_arn,
            "performance_insights_retention_period": 7,
            "monitoring_interval": MONITORING_SECONDS,
            "monitoring_role_arn": self.monitor.arn,
            "enabled_cloudwatch_logs_exports": list(LOGS),
            "ca_cert_identifier": AUTHORITY,
        }

    @property
    def service_user(self) -> str:
        """The service's own user in the database; the environment in it keeps one from another's in IAM."""
        return f"{MASTER}_{self.settings.environment}_service"

    @property
    def secret_arn(self) -> pulumi.Output[str]:
        """The secret in which RDS keeps the master password that it made and rotates."""
        return self.primary.master_user_secrets[0].secret_arn
