"""`superagent preview`."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import click

from infra.console import out, print_json
from infra.errors import UserError
from infra.home import CHECKOUT

FORMATS = ("table", "json", "markdown", "mermaid")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stack", default="prod", show_default=True, help="Stack to preview (`Pulumi.<stack>.yaml`).")
@click.option("--base", metavar="REV", help="Git revision to compare with: a branch, tag or commit.")
@click.option(
    "--config",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key, at both revisions. Repeatable.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def preview(stack: str, base: str | None, pairs: tuple[str, ...], form: str, as_json: bool) -> None:
    """Show what a stack consists of, and what a change would do, without a cloud or credentials.

    Runs the real Pulumi program under Pulumi's test monitor. Exit code 1 when a policy is broken or data
    would be lost, 2 when the configuration is wrong. The Pulumi engine's own preview has the last word: it
    knows the live state.

    \b
    superagent preview                                   the estate of prod
    superagent preview --stack dev --config compute=eks  another compute
    superagent preview --base main --format markdown     what this branch changes, for a pull request
    """
    from infra.preview.estate import Recording, configuration, revision

    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong is not None:
        raise UserError(f"--config {wrong!r} has no value.", "Write it as KEY=VALUE.")
    overrides = dict(pair.split("=", 1) for pair in pairs)
    with ExitStack() as stay:
        here = Recording(CHECKOUT, stack, configuration(stack, overrides))
        stay.callback(here.close)
        there = None
        if base is not None:
            tree = stay.enter_context(revision(base))
            if not (tree / "infra" / "preview" / "record.py").exists():
                raise UserError(f"Revision {base!r} has no offline preview yet.", "Choose a later one.")
            there = Recording(tree, stack, configuration(stack, overrides, tree))
            stay.callback(there.close)
        # Only now, while the recorders already run.
        from infra.preview.markdown import markdown
        from infra.preview.mermaid import mermaid
        from infra.preview.report import document, report
        from infra.preview.table import table

        found = report(stack, here.result(), base, there.result() if there else None)
    if as_json or form == "json":
        print_json(document(found))
    elif form == "markdown":
        click.echo(markdown(found), nl=False)
    elif form == "mermaid":
        click.echo(mermaid(found), nl=False)
    else:
        table(found, out)
    sys.exit(1 if found.failed else 0)
