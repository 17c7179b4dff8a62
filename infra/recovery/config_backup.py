"""Configuration that is not in the repository: outputs, parameters, the release table. No secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from infra.errors import OperationFailed
from infra.home import project
from infra.recovery import archive
from infra.recovery.backup import LEVEL, Draft
from infra.recovery.lease import Lease
from infra.recovery.manifest import Archive, Manifest
from infra.recovery.progress import Meter
from infra.stack.outputs import StackOutputs


@dataclass(frozen=True, slots=True)
class Change:
    """One value that a restore of the configuration would set."""

    name: str
    now: str | None
    then: str


def collect(
    outputs: StackOutputs, ssm: Any, table: Any, instance: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Everything worth keeping, as one JSON document; `instance` describes the RDS instance in use."""
    names = sorted({*outputs.image_parameters.values(), outputs.database_pointer})
    stack_file = project() / f"Pulumi.{outputs.environment}.yaml"
    return {
        "outputs": asdict(outputs),
        "parameters": {name: value for name in names if (value := _parameter(ssm, name)) is not None},
        "release_table": list(_items(table)),
        "database_instance": instance,
        "stack_file": stack_file.read_text() if stack_file.exists() else None,
    }


def _parameter(ssm: Any, name: str) -> str | None:
    try:
        value: str = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None
    return value


def _items(table: Any) -> Iterator[dict[str, Any]]:
    start: dict[str, Any] = {}
    while True:
        page = table.scan(ConsistentRead=True, **start)
        # Leases belong to processes that live now; a restored one would lock everybody out.
        yield from (item for item in page["Items"] if not str(item.get("sk", "")).startswith("lease"))
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def create(draft: Draft, document: dict[str, Any], lease: Lease) -> Manifest:
    """Write the document and publish it."""
    at = datetime.now(UTC).isoformat()
    body = json.dumps(document, indent=1, sort_keys=True, default=_plain).encode()
    packed = archive.compressed(iter([body]), LEVEL)
    segments = draft.vault.save("config.json.zst", packed, Meter(None, 0))
    source = {name: len(document[name]) for name in ("parameters", "release_table")}
    return draft.publish([Archive("config.json.zst", "config", segments)], at, source, {}, lease)


def _plain(value: Any) -> Any:
    """DynamoDB's numbers and bytes, so that `_typed` finds them again."""
    if isinstance(value, bytes) or hasattr(value, "value"):
        raise OperationFailed("The release table holds binary values, which this tool does not back up.")
    if isinstance(value, set):
        return {"$set": sorted(value)}
    return {"$number": str(value)}


def read(manifest: Manifest, vault: archive.Vault) -> dict[str, Any]:
    """The document back."""
    chunks = archive.decompressed(vault.load(manifest.archives[0], Meter(None, 0)))
    found: dict[str, Any] = json.loads(b"".join(chunks), object_hook=_typed)
    return found


def _typed(value: dict[str, Any]) -> Any:
    from decimal import Decimal

    if value.keys() == {"$number"}:
        return Decimal(value["$number"])
    if value.keys() == {"$set"}:
        return set(value["$set"])
    return value


def changes(document: dict[str, Any], ssm: Any, pointer: str) -> list[Change]:
    """Parameters whose value differs now. The database pointer is left alone: only a cutover moves it."""
    told = []
    for name, then in document["parameters"].items():
        now = _parameter(ssm, name)
        if name != pointer and now != then:
            told.append(Change(name, now, then))
    return told


def apply(document: dict[str, Any], wanted: list[Change], ssm: Any, table: Any) -> int:
    """Set the parameters and put back release records that are gone; the number of records put back.

    A record that exists is newer than the backup and stays.
    """
    for change in wanted:
        ssm.put_parameter(Name=change.name, Value=change.then, Type="String", Overwrite=True)
    count = 0
    for item in document["release_table"]:
        try:
            table.put_item(Item=item, ConditionExpression="attribute_not_exists(pk)")
            count += 1
        except ClientError as failed:
            if failed.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise OperationFailed(
                    f"The release table takes no record: {failed.response['Error']['Code']}."
                ) from None
    return count
