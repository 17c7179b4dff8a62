"""Remove the lock that a killed job left on a stack, and never one whose owner may be alive.

    python -m infra.delivery.unlock --stack prod --from-workflow
    python -m infra.delivery.unlock --stack prod --owner alice@laptop

`pulumi cancel` removes every lock, whoever holds it. In the workflow `unlock` no job that locks the stack can
be running, because they all share one concurrency group: a lock of a runner found there has lost its owner
(METR/hawk#888). A person's lock is removed only by naming that person and machine.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any, Final

import click

from infra.console import out, print_json
from infra.errors import OperationFailed, UserError
from infra.preview.estate import configuration as keys_of
from infra.stack import configuration
from infra.stack.workflow_rights import LOCKS

RUNNERS: Final = ("runner", "root")
"""User of GitHub's own runners, and of jobs in containers."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file of Pulumi's S3 backend (pulumi/pulumi, pkg/backend/diy/lock.go)."""

    key: str
    user: str
    host: str
    pid: int
    since: str

    @property
    def owner(self) -> str:
        return f"{self.user}@{self.host}"


def locks(s3: Any, bucket: str, stack: str) -> list[Lock]:
    """Every lock of `stack`. A file that is no lock raises `OperationFailed`: it is not ours to delete."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{LOCKS}/{stack}/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return [parse(key, s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]


def parse(key: str, text: bytes) -> Lock:
    try:
        found = json.loads(text)
        return Lock(
            key, str(found["username"]), str(found["hostname"]), int(found["pid"]), str(found["timestamp"])
        )
    except (ValueError, KeyError, TypeError):
        raise OperationFailed(f"{key} is no lock of Pulumi; nothing was removed.") from None


def refusal(lock: Lock, owner: str | None, from_workflow: bool) -> str | None:
    """Why this lock stays; `None` when it may go (pure)."""
    if owner is not None:
        return None if owner == lock.owner else f"{owner} was named"
    if from_workflow and lock.user in RUNNERS:
        return None
    return "it is a person's: ask, then name the owner" if from_workflow else "no owner was named"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stack", required=True, help="Stack whose lock is in the way.")
@click.option("--owner", metavar="USER@HOST", help="Whose lock to remove, as it was shown.")
@click.option(
    "--from-workflow", is_flag=True, help="Remove locks of runners: only where no job of the stack can run."
)
@click.option("--dry-run", is_flag=True, help="Show the locks and what would happen to each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def main(stack: str, owner: str | None, from_workflow: bool, dry_run: bool, as_json: bool) -> None:
    """Show and remove locks of a stack. Exit code 1 when one stays, 2 when the input is wrong."""
    import boto3  # half a second; --help needs none of it

    if from_workflow and os.environ.get("GITHUB_ACTIONS") != "true":
        raise UserError(
            "--from-workflow is not true here.", "Run the workflow `unlock`, or name the --owner."
        )
    wanted = configuration.load(stack, keys_of(stack, {}))
    if wanted.state_bucket is None:
        raise UserError(f"superagent:state_bucket of {stack} is not set.", "Name it in the stack's file.")
    make: Any = boto3.client
    s3 = make("s3", region_name=wanted.region)
    told: list[dict[str, Any]] = []
    for lock in locks(s3, wanted.state_bucket, stack):
        why = refusal(lock, owner, from_workflow)
        if why is None and not dry_run:
            s3.delete_object(Bucket=wanted.state_bucket, Key=lock.key)
        told.append({**asdict(lock), "owner": lock.owner, "removed": why is None and not dry_run, "why": why})
    if as_json:
        print_json(told)
    else:
        for one in told:
            done = (
                "removed" if one["removed"] else f"stays: {one['why']}" if one["why"] else "would be removed"
            )
            out.print(f"{one['owner']} (pid {one['pid']}) since {one['since']}: {done}", soft_wrap=True)
        if not told:
            out.print(f"{stack} is not locked.")
    if any(one["why"] for one in told):
        raise OperationFailed("A lock stays.")


if __name__ == "__main__":
    main()
