"""`superagent drill`: prove that the newest backup can be restored, and how long it takes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click

from infra import console
from infra.errors import OperationFailed
from infra.home import home
from infra.local.layout import layout, write
from infra.recovery import context, drill, report, telemetry
from infra.recovery.commands import json_option, stack_option
from infra.recovery.context import Context
from infra.recovery.report import Check, Report
from infra.stack.environment import metrics_folder


@click.command("drill", context_settings={"help_option_names": ["-h", "--help"]})
@stack_option
@click.option(
    "--from", "source", default="latest", show_default=True, metavar="latest|ID", help="Which backup."
)
@click.option(
    "--sign-with", metavar="KMS_KEY", help="HMAC key in KMS; without it a key file of this checkout."
)
@click.option("--bucket", help="Rehearse from this bucket, for example the replica.")
@click.option("--region", help="Region of --bucket.")
@json_option
def command(
    stack: str, source: str, sign_with: str | None, bucket: str | None, region: str | None, as_json: bool
) -> None:
    """Restore the newest backup into a scratch server, in a clean process, and start a service on it.

    Touches nothing that is in use. Measures RPO (age of the data) and RTO (until the service answers), writes
    a signed report to the bucket and the state folder, and metrics. Exit code 1 when any check fails.

    \b
    superagent drill                       rehearse here
    superagent drill --stack prod --json   in CI, every week
    """
    place = context.load(stack, bucket, region)
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
    at = datetime.fromisoformat(made.started_at).timestamp()
    telemetry.publish_drill(place.name, metrics_folder(), made.passed, at, made.rpo_seconds, made.rto_seconds)
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
    if kms_key:
        return report.signed(made, report.kms_mac(place.kms, kms_key)[0], f"kms:{kms_key}")
    path = layout().secret("drill_key")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return report.signed(made, report.file_mac(path)[0], f"file:{path.name}")


def _keep(place: Context, made: Report, signed: dict[str, Any]) -> None:
    stamp = made.started_at.replace(":", "").replace("-", "")[:15]
    name = f"{stamp}Z-{made.backup}"
    folder = drill.folder_of(home())
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(signed, indent=1, sort_keys=True)
    write(folder / f"{name}.json", text)
    write(folder / f"{name}.md", signed["markdown"])
    place.store.put(f"drills/{name}.json", text.encode())
    place.store.put(f"drills/{name}.md", signed["markdown"].encode())
