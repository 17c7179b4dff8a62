"""`superagent restore`: bring a backup back, prove it, and switch over when asked."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from infra import console
from infra.errors import UserError
from infra.recovery import (
    archive,
    catalog,
    config_backup,
    context,
    cutover,
    elasticache_restore,
    failures,
    point_in_time,
    postgres_restore,
    rds_restore,
    redis_backup,
)
from infra.recovery.commands import json_option, stack_option
from infra.recovery.context import Context
from infra.recovery.postgres_restore import Request
from infra.stack.pointer import Pointer


class Restore(failures.Command):
    """Nothing that was restored is lost."""

    after = "The same command goes on with it."


@click.command(cls=Restore, context_settings={"help_option_names": ["-h", "--help"]})
@stack_option
@click.option(
    "--from", "source", default="latest", show_default=True, metavar="latest|ID", help="Which backup."
)
@click.option(
    "--to-time", "moment", metavar="TIME", help="As of this moment, for example 2026-11-23T02:00:00Z."
)
@click.option("--into", default="new", show_default=True, metavar="new|NAME", help="The database to create.")
@click.option(
    "--only",
    type=click.Choice(["postgres", "redis", "config"]),
    default="postgres",
    show_default=True,
    help="What to restore.",
)
@click.option("--cutover", "switch", is_flag=True, help="Then let the service use it; the old one is kept.")
@click.option("--switch-to", metavar="[INSTANCE/]NAME", help="Only cut over, to a database that is there.")
@click.option("--bucket", help="Read from this bucket, for example the replica.")
@click.option("--region", help="Region of --bucket.")
@click.option("--reinitialise", is_flag=True, help="Local: keep a broken data folder aside and begin afresh.")
@click.option("--instance", help="RDS instance or ElastiCache group to restore, when it is not known.")
@click.option("--security-group", multiple=True, help="ElastiCache: when the old group's members are gone.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and how long it took last time.")
@json_option
def restore(
    stack: str,
    source: str,
    moment: str | None,
    into: str,
    only: str,
    switch: bool,
    switch_to: str | None,
    bucket: str | None,
    region: str | None,
    reinitialise: bool,
    instance: str | None,
    security_group: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Restore into a new database, compare every table with the backup, and cut over when asked.

    \b
    superagent restore --dry-run                           what would happen, and how long it takes
    superagent restore --from latest --cutover             the database is gone: bring it back
    superagent restore --to-time 2026-11-23T01:59:59Z --cutover
    superagent restore --switch-to superagent              back to the database of before
    superagent restore --stack prod --from rds:SNAPSHOT    a new RDS instance from its own snapshot
    superagent restore --bucket REPLICA --region REGION    from the other region

    A restore that was interrupted goes on when the same command is given again. Nothing is written over: a
    target with anything in it is refused.
    """
    if moment and source != "latest":
        raise UserError("--from and --to-time are both given.", "Give one of them.")
    if region and not bucket:
        raise UserError("--region is given without --bucket.", "Name the replica bucket too.")
    place = context.load(stack, bucket, region)
    at = point_in_time.parse_time(moment) if moment else None
    if switch_to:
        _show(_switch(place, cutover.meant(place, switch_to), dry_run), as_json)
        return
    if only == "redis" and source.startswith(elasticache_restore.SNAPSHOT):
        if place.local:
            raise UserError("The local system has no ElastiCache.", "Give a backup id.")
        _show(elasticache_restore.perform(place, source, instance, into, security_group, dry_run), as_json)
        return
    if only == "redis":
        _show(_redis(place, source, switch, dry_run), as_json)
        return
    if only == "config":
        _show(_config(place, source, switch, dry_run), as_json)
        return
    native = source.startswith(rds_restore.SNAPSHOT)
    if native and place.local:
        raise UserError(f"{source} names an RDS snapshot; the local system has none.", "Give a backup id.")
    if not place.local and (native or at):
        _show(rds_restore.perform(place, instance, source, at, into, switch, dry_run), as_json)
        return
    request = Request(source, at, into, switch, reinitialise)
    if dry_run:
        _show({"dry_run": True, **postgres_restore.plan(place, request)}, as_json)
        return
    _show(postgres_restore.perform(place, request), as_json)


def _switch(place: Context, to: Pointer, dry_run: bool) -> dict[str, Any]:
    if not dry_run:
        return {"cutover": asdict(cutover.switch(place, to))}
    cutover.require(place, to)
    before = cutover.pointer(place)
    return {"dry_run": True, "would_switch": {"pointer": str(to), "before": before and str(before)}}


def _redis(place: Context, source: str, switch: bool, dry_run: bool) -> dict[str, Any]:
    made = catalog.resolve(place.store, "redis", source)
    answer: dict[str, Any] = {"backup": made.id, "snapshot_at": made.snapshot_at, "keys": made.source["keys"]}
    if dry_run:
        return {"dry_run": True, **answer, "would_replace_live_data": switch}
    with redis_backup.loaded(made, archive.vault_of(made, place.store, place.kms)) as ready:
        answer |= {"loaded": ready.keys, "expired": ready.expired}
        if switch:
            answer["live_keys"] = redis_backup.hand_over(ready, place.redis_url())
    return answer


def _config(place: Context, source: str, switch: bool, dry_run: bool) -> dict[str, Any]:
    made = catalog.resolve(place.store, "config", source)
    document = config_backup.read(made, archive.vault_of(made, place.store, place.kms))
    ssm = place.client("ssm")
    wanted = config_backup.changes(document, ssm, place.env.outputs.database_pointer)
    answer: dict[str, Any] = {"backup": made.id, "changes": [asdict(one) for one in wanted]}
    if switch and not dry_run:
        answer["records"] = config_backup.apply(document, wanted, ssm, place.lease_table())
    return {**answer, "applied": switch and not dry_run}


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.print_json(report)
        return
    for line in _lines(report, ""):
        console.out.print(line, markup=False)


def _lines(value: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for name, one in value.items():
        title = name.replace("_", " ")
        if isinstance(one, dict):
            lines += [f"{indent}{title}", *_lines(one, indent + "  ")]
        elif isinstance(one, list):
            lines += [f"{indent}{title}", *(f"{indent}  {n}. {item}" for n, item in enumerate(one, 1))]
        elif one is not None:
            lines.append(f"{indent}{title}: {one}")
    return lines
