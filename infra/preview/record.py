"""Record one run of the program as JSON; a process of its own, because Pulumi's monitor lives once.

    python -m infra.preview.record --stack prod --out estate.json

`superagent preview` starts it in this checkout and, for `--base`, in the checkout of that revision.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from infra.preview.answers import answer, call
from infra.preview.sdk_types import mismatches
from infra.stack import configuration, offline

FORMAT = 1
"""Version of the JSON; a revision with another one cannot be compared."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stack", required=True, help="Stack to run the program for.")
@click.option(
    "--config", "pairs", multiple=True, metavar="KEY=VALUE", help="Full key (`superagent:…`) and value."
)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where to write.")
def main(stack: str, pairs: tuple[str, ...], out: Path) -> None:
    """Run the Pulumi program without a cloud and write every resource down."""
    config = dict(pair.split("=", 1) for pair in pairs)
    wanted = configuration.load(stack, config)
    run = offline.run(stack, config, answer, call)
    document = {
        "format": FORMAT,
        "environment": wanted.environment,
        "resources": [asdict(one) for one in run.resources],
        "outputs": run.outputs,
        "secret_outputs": list(run.secret_outputs),
        "mismatches": {one.urn: wrong for one in run.resources if (wrong := mismatches(one))},
    }
    out.write_text(json.dumps(document))


if __name__ == "__main__":
    main()
