"""What the release and recovery tools own: the journal's table and the parameters that they switch.

Pulumi creates each parameter once and ignores its value afterwards: one owner.
"""

from __future__ import annotations

import pulumi_aws as aws

from infra.stack.component import Component
from infra.stack.outputs import COLOURS, Colour
from infra.stack.pointer import LOCAL, Pointer
from infra.stack.settings import Settings


class Releases(Component):
    """Release journal, image per colour, database pointer."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("releases", settings)
        self.table = aws.dynamodb.Table(
            "releases",
            name=settings.names.of("releases"),
            billing_mode="PAY_PER_REQUEST",
            hash_key="pk",
            range_key="sk",
            attributes=[
                aws.dynamodb.TableAttributeArgs(name="pk", type="S"),
                aws.dynamodb.TableAttributeArgs(name="sk", type="S"),
            ],
            point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(enabled=True),
            server_side_encryption=aws.dynamodb.TableServerSideEncryptionArgs(enabled=True),
            deletion_protection_enabled=settings.protection,
            opts=self.guarded(),
        )
        self.images: dict[Colour, aws.ssm.Parameter] = {
            colour: self._parameter(
                f"image-{colour}", ("image", colour), settings.initial_image, f"Image that {colour} runs"
            )
            for colour in COLOURS
        }
        self.database_pointer = self._parameter(
            "database",
            ("database",),
            str(self.first_database),
            "INSTANCE/DATABASE in use; a cutover changes this alone",
        )
        self.register_outputs({"table": self.table.name})

    @property
    def first_database(self) -> Pointer:
        """What the service uses until the first cutover."""
        instance = LOCAL if self.settings.local else self.settings.names.of("database")
        return Pointer(instance, self.settings.database)

    def _parameter(self, name: str, path: tuple[str, ...], value: str, description: str) -> aws.ssm.Parameter:
        return aws.ssm.Parameter(
            name,
            name=self.settings.names.path(*path),
            type="String",
            value=value,
            description=description,
            opts=self.child(ignore_changes=["value"]),
        )
