"""`superagent drift`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.console import out, print_json, warn
from infra.errors import OperationFailed, UserError
from infra.home import CHECKOUT

if TYPE_CHECKING:
    from infra.preview.drift import Classified
    from infra.preview.live_cluster import Get


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "source", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True)
)
@click.option("--live", metavar="STACK", help="Ask the AWS of this stack; needs rights to describe.")
@click.option(
    "--config", "pairs", multiple=True, metavar="KEY=VALUE", help="With --live: a key that `pulumi up` had."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def drift(source: Path | None, live: str | None, pairs: tuple[str, ...], as_json: bool) -> None:
    """Say which live differences belong to the release tool and which are drift.

    SOURCE is what `pulumi refresh --preview-only --json` printed; `-` reads it from stdin. `--live` compares
    what this checkout declares with what AWS says, without the Pulumi CLI's state: listeners, target groups,
    fleets, parameters, databases, caches, tables, buckets and keys, in every region that has some, and the
    objects in the cluster (by your kubeconfig; SUPERAGENT_KUBE_CONTEXT chooses in it). What gave no answer
    and what is not asked about is listed too. Both may be given. Exit code 1 when there is drift or no
    answer, 2 when the input is something else.

    \b
    superagent drift --live prod
    pulumi refresh --preview-only --json --stack prod | superagent drift -
    """
    if source is None and live is None:
        raise UserError("There is nothing to compare.", "Give SOURCE, --live STACK, or both.")
    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong is not None:
        raise UserError(f"--config {wrong!r} has no value.", "Write it as KEY=VALUE.")
    from infra.preview.drift import classify, read

    found: list[Classified] = []
    if source is not None:
        text = sys.stdin.read() if str(source) == "-" else source.read_text()
        found += classify(read(text))
    if live is not None:
        found += _ask(live, dict(pair.split("=", 1) for pair in pairs))
    found.sort(key=lambda one: (not one.drift, one.clean, one.urn, one.path))
    if as_json:
        print_json([one.document() for one in found])
    else:
        _lines(found)
    sys.exit(0 if all(one.clean for one in found) else 1)


def _lines(found: list[Classified]) -> None:
    told = [one for one in found if one.verdict != "unasked"]
    for one in told:
        colour = "dim" if one.clean else "red"
        what = f"{one.name} {one.path}: {one.change}"
        out.print(f"[{colour}]{one.verdict:8}[/{colour}] {what} [dim]{one.why}[/dim]", soft_wrap=True)
    rest = [one for one in found if one.verdict == "unasked"]
    for kind, names in _by_type(rest).items():
        out.print(f"[dim]unasked  {kind}: {', '.join(names)}[/dim]", soft_wrap=True)
    counts = Counter(one.verdict for one in found)
    expected = counts["release"] + counts["recovery"] + counts["aws"]
    out.print(
        f"{counts['drift']} drifted, {expected} expected, {counts['unread']} without an answer; "
        f"{len({one.urn for one in rest})} resources are compared in part or by `pulumi refresh` alone",
        soft_wrap=True,
    )


def _by_type(found: list[Classified]) -> dict[str, list[str]]:
    """Type → names, with the value's path where only that is not compared."""
    kinds: dict[str, list[str]] = {}
    for one in found:
        kinds.setdefault(one.type, []).append(f"{one.name} {one.path}".rstrip())
    return kinds


def _cluster() -> Get | None:
    """The API server of the caller's kubeconfig; without one every object in the cluster stays unread."""
    from infra.stack.kube import Kube

    try:
        return Kube.from_kubeconfig(os.environ.get("SUPERAGENT_KUBE_CONTEXT")).get
    except UserError as failed:
        warn(failed.message)
        return None


def _ask(stack: str, overrides: dict[str, str]) -> list[Classified]:
    from botocore.exceptions import BotoCoreError, ClientError

    from infra.preview.estate import Recording, configuration
    from infra.preview.live import compare
    from infra.stack.environment import load

    environment = load(stack)
    recording = Recording(CHECKOUT, stack, configuration(stack, overrides))
    try:
        clients: Callable[[str, str], Any] = cache(environment.client)
        inside = _cluster() if environment.outputs.compute == "eks" else None
        return compare(recording.result(), environment.outputs, clients, inside)
    except (ClientError, BotoCoreError) as failed:
        raise OperationFailed(f"AWS did not answer: {failed}") from None
    finally:
        recording.close()
