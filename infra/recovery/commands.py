"""`superagent backup`: make, list, verify and prune backups."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from infra import console
from infra.errors import OperationFailed, UserError
from infra.recovery import (
    catalog,
    context,
    create,
    cutover,
    elasticache,
    failures,
    ledger,
    prune,
    rds,
    retention,
    telemetry,
    verify,
)
from infra.recovery.context import Context
from infra.recovery.manifest import IN_AWS, KINDS, Kind, Manifest
from infra.recovery.progress import meter

stack_option = click.option(
    "--stack", default="local", show_default=True, help="Environment: local, dev, staging, prod."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group(cls=failures.Group, context_settings={"help_option_names": ["-h", "--help"]})
def backup() -> None:
    """Make, list, verify and prune backups. `superagent restore` brings one back.

    \b
    superagent backup create                   Postgres, Redis and configuration
    superagent backup list                     what there is, and what was verified
    superagent backup verify                   read back what was not read this week
    superagent backup prune --dry-run          what retention would remove, and why
    """


@backup.command("create")
@stack_option
@click.option("--only", type=click.Choice(KINDS), multiple=True, help="Only this kind.")
@click.option(
    "--encrypt", "kms_key", metavar="KMS_KEY", help="Encrypt here too, under a data key wrapped by this key."
)
@click.option("--verify", "read_back", is_flag=True, help="Read it back at once: only then it counts.")
@click.option("--dry-run", is_flag=True, help="Say what would be backed up; change nothing.")
@json_option
def create_(
    stack: str, only: tuple[Kind, ...], kms_key: str | None, read_back: bool, dry_run: bool, as_json: bool
) -> None:
    """Back up Postgres (one snapshot, streamed), configuration and, locally, Redis and a base for
    point-in-time recovery into the stack's bucket. `superagent backup snapshot` is for RDS and ElastiCache.

    The manifest is written last: a backup that was interrupted does not exist. One run of a kind at a time.
    """
    place = context.load(stack)
    kinds = only or (KINDS if place.local else IN_AWS)
    if dry_run:
        _tell_plan(place, kinds, as_json)
        return
    made, failed = create.each(place, kinds, kms_key)
    verdicts = []
    if read_back:
        entries = [entry for kind in kinds for entry in catalog.entries(place.store, kind)]
        verdicts = _verify(place, [one for one in entries if one.id in {each.id for each in made}], False)
    telemetry.tell_backups(place)
    if as_json:
        console.print_json([summary(one) for one in made])
    for one in made if not as_json else ():
        console.out.print(f"{one.kind:9} {one.id}  {one.size:,} bytes  {one.rows:,} rows")
    if failed:
        raise OperationFailed(" ".join(failed))
    verify.require_sound(verdicts)


def _tell_plan(place: Context, kinds: tuple[Kind, ...], as_json: bool) -> None:
    known = {kind: catalog.entries(place.store, kind) for kind in kinds}
    last = {kind: catalog.read(place.store, kind, found[-1].id) for kind, found in known.items() if found}
    plan = [
        {
            "kind": kind,
            "bucket": place.store.bucket,
            "last_bytes": last[kind].size if kind in last else None,
            "last_seconds": last[kind].duration_seconds if kind in last else None,
        }
        for kind in kinds
    ]
    if as_json:
        console.print_json({"dry_run": True, "would_create": plan})
        return
    for one in plan:
        took = (
            f"last time {one['last_bytes']:,} bytes in {one['last_seconds']} s"
            if one["last_bytes"]
            else ("the first one")
        )
        console.out.print(f"Would back up {one['kind']} into {one['bucket']} ({took}).")


def summary(manifest: Manifest) -> dict[str, Any]:
    """A backup in a few values, for listings."""
    return {
        "kind": manifest.kind,
        "id": manifest.id,
        "snapshot_at": manifest.snapshot_at,
        "bytes": manifest.size,
        "rows": manifest.rows,
        "seconds": manifest.duration_seconds,
        "encrypted_here": manifest.encryption is not None,
    }


@backup.command("list")
@stack_option
@click.option("--kind", type=click.Choice(KINDS), help="Only this kind.")
@json_option
def list_(stack: str, kind: Kind | None, as_json: bool) -> None:
    """List complete backups, oldest first, with when each was last verified."""
    place = context.load(stack)
    rows = []
    for one in (kind,) if kind else KINDS:
        for entry in catalog.entries(place.store, one):
            book = ledger.read(place.store, one, entry.id)
            try:
                line = summary(catalog.read(place.store, one, entry.id))
            except OperationFailed as damaged:
                line = {"kind": one, "id": entry.id, "damaged": damaged.message}
            except UserError as newer:
                line = {"kind": one, "id": entry.id, "unreadable": newer.message}
            rows.append({**line, "verified_at": book.verified_at, "found_damaged": book.damaged})
    if as_json:
        console.print_json(rows)
        return
    table = Table("kind", "id", "snapshot", "bytes", "rows", "verified")
    for row in rows:
        state = row["verified_at"] or "never"
        if "unreadable" in row:
            state = "of a newer tool"
        if row["found_damaged"] or "damaged" in row:
            state = "DAMAGED"
        table.add_row(
            *(str(row.get(name, "?")) for name in ("kind", "id", "snapshot_at", "bytes", "rows")), state
        )
    console.out.print(table if rows else "No backup yet. Make one with `superagent backup create`.")


@backup.command("verify")
@stack_option
@click.option("--full", is_flag=True, help="Read everything, also what the ledger vouches for.")
@click.option("--kind", type=click.Choice(KINDS), help="Only this kind.")
@click.option("--id", "backup_id", help="Only this backup.")
@json_option
def verify_(stack: str, full: bool, kind: Kind | None, backup_id: str | None, as_json: bool) -> None:
    """Read backups and compare every object with its manifest.

    Objects that were read in the last seven days and have not changed are trusted; --full reads them too.
    """
    place = context.load(stack)
    found = [
        entry
        for one in ((kind,) if kind else KINDS)
        for entry in catalog.entries(place.store, one)
        if backup_id in (None, entry.id)
    ]
    if backup_id and not found:
        catalog.read(place.store, kind or "postgres", backup_id)
    verdicts = _verify(place, found, full)
    telemetry.tell_backups(place)
    if as_json:
        console.print_json([{**asdict(verdict), "sound": verdict.sound} for verdict in verdicts])
    else:
        for one in verdicts:
            state = "[green]sound[/green]" if one.sound else "[red]DAMAGED[/red]"
            console.out.print(
                f"{one.kind:9} {one.id}  {state}  {one.read} read, {one.trusted} trusted by the ledger"
            )
    verify.require_sound(verdicts)


def _verify(place: Context, entries: list[catalog.Entry], full: bool) -> list[verify.Verdict]:
    verdicts = []
    with meter("Verifying", None) as progress:
        for entry in entries:
            try:
                verdicts.append(verify.backup(place.store, entry, progress, full))
            except UserError as newer:
                if len(entries) == 1:
                    raise
                console.warn(f"Not verified: {newer.message}")  # nobody here can; the others are
    return verdicts


@backup.command("prune")
@stack_option
@click.option(
    "--keep",
    multiple=True,
    metavar="KIND=DAYS",
    help="Other than 30 d Postgres and configuration, 7 d Redis.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go and why the rest stays; change nothing.")
@json_option
def prune_(stack: str, keep: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Remove backups older than retention allows, and what killed runs left.

    Never the newest verified backup of a kind, never one with a locked object, never a base that the
    point-in-time window begins in; and nothing at all of a kind of which nothing was verified.
    """
    place = context.load(stack)
    outcome = prune.run(place.store, datetime.now(UTC), retention.parse_days(keep), dry_run)
    if as_json:
        console.print_json({**asdict(outcome), "dry_run": dry_run})
        return
    verb = "would go" if dry_run else "removed"
    for one in outcome.decisions:
        word = verb if one.remove else "stays"
        console.out.print(f"{one.entry.kind:9} {one.entry.id}  {word} ({one.reason})")
    for key in [*outcome.orphans, *outcome.uploads]:
        console.out.print(f"unfinished {key}  {verb}")
    if not (outcome.decisions or outcome.orphans or outcome.uploads):
        console.out.print("Nothing to prune.")


@backup.command("snapshot")
@stack_option
@click.option("--instance", help="RDS instance; without it the one that the database pointer names.")
@click.option("--cache", help="ElastiCache replication group; without it the cache is left out.")
@click.option("--export", is_flag=True, help="Copy the cache's snapshot as RDB files into the backup bucket.")
@json_option
def snapshot_(stack: str, instance: str | None, cache: str | None, export: bool, as_json: bool) -> None:
    """Take the cloud's own snapshots (RDS, ElastiCache) and wait until they can be restored from.

    Also tells how far back point-in-time recovery reaches. `superagent restore --from rds:NAME` and
    `superagent restore --only redis --from elasticache:NAME` use one.
    """
    place = context.load(stack)
    if export and not cache:
        raise UserError("--export copies the cache's snapshot.", "Name the cache with `--cache`.")
    if place.local:
        raise UserError("The local system has no RDS.", "Use `superagent backup create`.")
    now = cutover.pointer(place)
    name = instance or (now.instance if now else None)
    if not name:
        raise UserError("Which RDS instance is meant is not known.", "Name it with `--instance`.")
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with console.step(f"Snapshot of {name}"):
        made = rds.snapshot(place.client("rds"), name, f"{name[:200]}-{stamp}")
    first, last = rds.window(place.client("rds"), name)
    answer = {
        "database_snapshot": made["DBSnapshotIdentifier"],
        "point_in_time": {"from": first, "to": last},
        "cache_snapshot": None,
    }
    if cache:
        with console.step(f"Snapshot of {cache}"):
            client = place.client("elasticache")
            copy = elasticache.snapshot(client, cache, f"{cache[:30]}-{stamp}")
        answer["cache_snapshot"] = copy["SnapshotName"]
        if export:
            with console.step("Export to the backup bucket"):
                answer["cache_export"] = elasticache.export(client, copy["SnapshotName"], place.store.bucket)
    if as_json:
        console.print_json(answer)
    else:
        for title, value in answer.items():
            console.out.print(f"{title.replace('_', ' ')}: {value}")
