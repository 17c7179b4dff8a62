"""AWS Backup: scheduled copies of database and release journal in two regions, restored weekly as proof."""

from __future__ import annotations

import json
from typing import Final

import pulumi_aws as aws

from infra.stack.account import Account
from infra.stack.component import Component
from infra.stack.database import Database
from infra.stack.iam import role, trust_service
from infra.stack.observability import Observability
from infra.stack.releases import Releases
from infra.stack.secrets import key
from infra.stack.settings import Settings

DAILY: Final = "cron(0 5 * * ? *)"
"""Both well after the database's own windows: AWS Backup starts none in them nor in the hour before."""
WEEKLY: Final = "cron(0 4 ? * SUN *)"
RESTORE_TEST: Final = "cron(0 6 ? * MON *)"
WEEKLY_DAYS: Final = 90
COPY_DAYS: Final = 35
RESTORE_WINDOW_DAYS: Final = 7
Copy = aws.backup.PlanRuleCopyActionArgsDict
JOBS: Final = ("Backup Job State Change", "Copy Job State Change", "Restore Job State Change")
FAILED: Final = ("FAILED", "ABORTED", "EXPIRED")
"""Ends of a job that made nothing. A vault's own notifications tell of no failed backup or restore: those
events are deprecated and never sent (AWS Backup API, PutBackupVaultNotifications)."""


class Vault(Component):
    """Vault with lock, plan, selection, copy in the second region, restore testing, failure messages."""

    def __init__(
        self,
        settings: Settings,
        account: Account,
        database: Database,
        releases: Releases,
        observability: Observability,
    ) -> None:
        super().__init__("vault", settings)
        self.vault = self._vault("vault", account, None)
        copy = (
            self._vault("vault-copy", account, settings.replica_region)
            if settings.disaster_recovery
            else None
        )
        self._tell(observability)
        copies: list[Copy] = []
        if copy is not None:
            copies = [{"destination_vault_arn": copy.arn, "lifecycle": {"delete_after": COPY_DAYS}}]
        plan = aws.backup.Plan(
            "plan",
            name=settings.names.of("plan"),
            rules=[
                self._rule("daily", DAILY, max(settings.backup_retention_days, 7), copies),
                self._rule("weekly", WEEKLY, WEEKLY_DAYS, copies),
            ],
            opts=self.child(),
        )
        worker = role(
            self,
            "backup",
            trust_service("backup.amazonaws.com", account.id),
            managed=[
                "service-role/AWSBackupServiceRolePolicyForBackup",
                "service-role/AWSBackupServiceRolePolicyForRestores",
            ],
        )
        aws.backup.Selection(
            "stores",
            name=settings.names.of("stores", 50),
            plan_id=plan.id,
            iam_role_arn=worker.arn,
            resources=[database.primary.arn, releases.table.arn],
            opts=self.child(),
        )
        # Names of restore tests know letters, digits and underscores only.
        testing = aws.backup.RestoreTestingPlan(
            "restore-test",
            name=settings.names.of("restore", 50).replace("-", "_"),
            schedule_expression=RESTORE_TEST,
            start_window_hours=8,
            recovery_point_selection={
                "algorithm": "LATEST_WITHIN_WINDOW",
                "include_vaults": [self.vault.arn],
                "recovery_point_types": ["SNAPSHOT"],
                "selection_window_days": RESTORE_WINDOW_DAYS,
            },
            opts=self.child(),
        )
        aws.backup.RestoreTestingSelection(
            "restore-test-database",
            name="database",
            restore_testing_plan_name=testing.name,
            protected_resource_type="RDS",
            protected_resource_arns=[database.primary.arn],
            iam_role_arn=worker.arn,
            validation_window_hours=4,
            opts=self.child(),
        )
        self.register_outputs({"vault": self.vault.arn})

    def _vault(self, name: str, account: Account, region: str | None) -> aws.backup.Vault:
        own_key = key(self, name, account, "backup.amazonaws.com", region=region)
        vault = aws.backup.Vault(
            name,
            name=self.settings.names.of(name),
            kms_key_arn=own_key.arn,
            region=region,
            opts=self.guarded(),
        )
        if self.settings.protection:
            # Without changeable_for_days this is governance mode: a person with the right can still end it.
            aws.backup.VaultLockConfiguration(
                name,
                backup_vault_name=vault.name,
                min_retention_days=self.settings.backup_lock_days
                if self.settings.backup_lock_days <= 7
                else 7,
                region=region,
                opts=self.child(),
            )
        return vault

    def _tell(self, observability: Observability) -> None:
        """Every job of AWS Backup in the account that fails; a restore's event names no vault to pick by."""
        rule = aws.cloudwatch.EventRule(
            "backup-failures",
            name=self.settings.names.of("backup-failures", 64),
            description="A job of AWS Backup that failed, was aborted or never began",
            event_pattern=json.dumps(
                {
                    "source": ["aws.backup"],
                    "detail-type": list(JOBS),
                    # Restores have a status, all others a state (AWS Backup guide, EventBridge).
                    "detail": {"$or": [{"state": list(FAILED)}, {"status": list(FAILED)}]},
                }
            ),
            opts=self.child(),
        )
        aws.cloudwatch.EventTarget(
            "backup-failures", rule=rule.name, arn=observability.alerts.arn, opts=self.child()
        )

    def _rule(self, name: str, schedule: str, keep: int, copies: list[Copy]) -> aws.backup.PlanRuleArgsDict:
        return {
            "rule_name": name,
            "target_vault_name": self.vault.name,
            "schedule": schedule,
            "start_window": 60,
            "completion_window": 360,
            "lifecycle": {"delete_after": keep},
            "recovery_point_tags": {"Environment": self.settings.environment, "Rule": name},
            "copy_actions": copies,
        }
