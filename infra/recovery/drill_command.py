"""`superagent drill`: prove that the newest backup can be restored, and how long it takes."""

from __future__ import annotations

import json
from typing import Any

import click

from infra import console
from infra.errors import OperationFailed, UserError
from infra.home import home
from infra.local.layout import write
from infra.recovery import context, drill, facts, failures, report, signing, telemetry
from infra.recovery.commands import json_option, stack_option
from infra.recovery.context import Context
from infra.recovery.report import Check, Report


@click.command("drill", cls=failures.Command, context_settings={"help_option_names": ["-h", "--help"]})
@stack_option
@click.option(
    "--from", "source", default="latest", show_default=True, metavar="latest|ID", help="Which backup."
)
@click.option(
    "--sign-with",
    metavar="KMS_KEY",
    help="HMAC key in KMS; without it the stack's, locally a key file of this checkout.",
)
@click.option("--bucket", help="Rehearse from this bucket, for example the replica.")
@click.option("--region", help="Region of --bucket.")
@click.option(
    "--check", metavar="latest|NAME", help="Check the signature of a report in the bucket; rehearse nothing."
)
@json_option
def command(
    stack: str,
    source: str,
    sign_with: str | None,
    bucket: str | None,
    region: str | None,
    check: str | None,
    as_json: bool,
) -> None:
    """Restore the newest backup into a scratch server, in a clean process, and start a service on it.

    Touches nothing that is in use. Measures RPO (age of the data) and RTO (until the service answers), writes
    a signed report to the bucket and the state folder, and metrics. Exit code 1 when any check fails.

    \b
    superagent drill                       rehearse here
    superagent drill --stack prod --json   in CI, every week
    superagent drill --check latest        is the newest report what was signed?
    """
    place = context.load(stack, bucket, region)
    if check:
        _check(place, check, sign_with, as_json)
        return
    job = {
        "environment": place.name,
        "endpoint": place.env.endpoint,
        "region": region or place.env.outputs.region,
        "bucket": place.store.bucket,
        "backup": source,
    }
    with console.step("Drill in a clean process"):
        found = drill.in_clean_process(job)
    made = _report(found)
    signed = _sign(place, made, sign_with)
    _keep(place, made, signed)
    telemetry.tell_drill(place)
    if as_json:
        console.print_json(signed)
    else:
        console.out.print(report.markdown(made), markup=False)
    if not made.passed:
        failed = "; ".join(f"{one.name}: {one.told}" for one in made.checks if not one.passed)
        raise OperationFailed(f"The drill failed. {failed}")


def _report(found: dict[str, Any]) -> Report:
    checks = [Check(**one) for one in found["checks"]]
    return Report(
        **{key: value for key, value in found.items() if key not in ("passed", "checks")}, checks=checks
    )


def _sign(place: Context, made: Report, kms_key: str | None) -> dict[str, Any]:
    mac, by = signing.signer(place, kms_key)
    return report.signed(made, mac, by)


def _check(place: Context, which: str, kms_key: str | None, as_json: bool) -> None:
    """Print a report, if its signature is of the key that this environment signs with."""
    name, found = _stored(place, which)
    check = signing.checker(place, kms_key)
    if check is None:
        raise UserError(
            f"Reports of {place.name} are signed by a file that is not on this machine.",
            "Check on the machine that ran the drill, or name the key with `--sign-with`.",
        )
    if not report.genuine(found, check):
        raise OperationFailed(f"{name} is not what was signed: do not believe it.")
    if as_json:
        console.print_json(found)
    else:
        console.out.print(found["markdown"], markup=False)
        console.out.print(f"{name} is what {found['signed_by']} signed.")


def _stored(place: Context, which: str) -> tuple[str, dict[str, Any]]:
    names = {
        item.key.removeprefix(facts.REPORTS).removesuffix(".json"): item.modified
        for item in place.store.list(facts.REPORTS)
        if item.key.endswith(".json")
    }
    name = max(names, key=lambda one: names[one], default=None) if which == "latest" else which
    if name is None or name not in names:
        raise UserError(
            f"Bucket {place.store.bucket} holds no report {which}.",
            f"There are: {', '.join(sorted(names)[-5:]) or 'none; run `superagent drill`'}.",
        )
    try:
        found = place.store.get_json(f"{facts.REPORTS}{name}.json")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OperationFailed(f"{name} is no report: do not believe it.")
    return name, found


def _keep(place: Context, made: Report, signed: dict[str, Any]) -> None:
    stamp = made.started_at.replace(":", "").replace("-", "")[:15]
    name = f"{stamp}Z-{made.backup}"
    folder = drill.folder_of(home())
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(signed, indent=1, sort_keys=True)
    write(folder / f"{name}.json", text)
    write(folder / f"{name}.md", signed["markdown"])
    place.store.put(f"{facts.REPORTS}{name}.json", text.encode())
    place.store.put(f"{facts.REPORTS}{name}.md", signed["markdown"].encode())
