"""`superagent check`: the production checklist, with evidence and the fix."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Final

import click
from rich.markup import escape

from infra.check.rules import CHECKS, exit_code, judge
from infra.check.verdict import Verdict
from infra.console import out, print_json, step

MARK: Final = {"pass": "[green]✓[/green]", "fail": "[red]✗[/red]", "unknown": "[yellow]?[/yellow]"}
TOTALS: Final = {"pass": "passed", "fail": "failed", "unknown": "unknown"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stack", default="prod", show_default=True, help="Environment: local, dev, staging, prod.")
@click.option(
    "--only", "names", multiple=True, type=click.Choice(list(CHECKS)), help="This check alone. Repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def check(stack: str, names: tuple[str, ...], as_json: bool) -> None:
    """Say whether an environment is fit for production: every check with what was seen, and the fix.

    Asks the Pulumi program in this checkout, the environment's AWS, its Prometheus and its front door, and
    changes nothing. What cannot be seen is `unknown`, never a pass. Exit code 0: everything passed; 1:
    something failed; 2: nothing failed, but something could not be seen.

    \b
    superagent check                        prod, before you promise anything
    superagent check --stack local          the system on this machine
    superagent check --only drill --json    one line, for a program
    """
    from infra.check.collect import facts  # boto3 and Pulumi; --help needs none of it

    with step(f"Looked at {stack}"):
        seen = facts(stack)
    found = judge(seen, names or CHECKS)
    if as_json:
        print_json({"stack": stack, "checks": [asdict(one) for one in found], "exit_code": exit_code(found)})
    else:
        show(stack, found)
    sys.exit(exit_code(found))


def show(stack: str, found: list[Verdict]) -> None:
    """A line a check; the fix below what needs one."""
    for one in found:
        out.print(
            f"{MARK[one.word]} {CHECKS[one.check][0]}: [dim]{escape(one.evidence)}[/dim]", soft_wrap=True
        )
        if one.fix:
            out.print(f"    → {escape(one.fix)}", soft_wrap=True)
    words: list[str] = [one.word for one in found]
    told = ", ".join(f"{words.count(word)} {what}" for word, what in TOTALS.items())
    out.print(f"{stack}: {told}")
