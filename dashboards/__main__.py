"""`python -m dashboards`: write the JSON that Grafana and the console read, or upload it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import boto3
import click

from dashboards.files import FOLDER, generated
from dashboards.grafana_token import short_lived


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Dashboards as code."""


@main.command()
@click.option("--check", is_flag=True, help="Write nothing; fail when a committed file is stale.")
def render(check: bool) -> None:
    """Write dashboards/json/*.json."""
    files = generated()
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not check:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(files[path])
        click.echo(f"{'stale' if check else 'wrote'} {path.name}")
    if check and stale:
        raise click.ClickException("Run `python -m dashboards render`.")


@main.command()
@click.option("--stack", required=True, help="Pulumi stack of the project in dashboards/.")
@click.option("--workspace", required=True, metavar="ID", help="Managed Grafana workspace, g-….")
@click.option("--region", required=True, help="Region of the workspace.")
@click.option("--dry-run", is_flag=True, help="Show what would change (`pulumi preview`).")
def upload(stack: str, workspace: str, region: str, dry_run: bool) -> None:
    """Upload folder, data source and dashboards to Amazon Managed Grafana.

    \b
    python -m dashboards upload --stack prod --workspace g-0123456789 --region eu-central-1 --dry-run
    """
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        raise click.UsageError("The Pulumi CLI is not on PATH. Install it, then run this again.")
    verb = ["preview"] if dry_run else ["up", "--yes"]
    with short_lived(boto3.client("grafana", region_name=region), workspace) as token:
        done = subprocess.run(
            [pulumi, *verb, "--stack", stack, "--cwd", str(FOLDER.parent)],
            check=False,
            env={**os.environ, "GRAFANA_AUTH": token},
        )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
