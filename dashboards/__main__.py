"""`python -m dashboards render`: write the JSON that Grafana and the console read."""

from __future__ import annotations

import click

from dashboards.files import FOLDER, generated


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


if __name__ == "__main__":
    main()
