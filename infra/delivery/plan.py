"""What `pulumi preview --json` found: readable for the reviewer, and a digest that says it is still the same.

pulumi preview --json --stack prod > plan.json
python -m infra.delivery.plan plan.json --stack prod                   text for the summary, digest last
python -m infra.delivery.plan plan.json --stack prod --expect DIGEST   exit code 1: not what was approved
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from infra.delivery.untrusted import cut
from infra.errors import OperationFailed
from infra.policy.data import STATEFUL
from infra.preview.drift import read
from infra.preview.markdown import MARK, short

QUIET: Final = ("same", "read", "refresh")
ORDER: Final = ("delete", "replace", "create", "update")
OPERATIONS: Final = {
    "create-replacement": "replace", "delete-replaced": "replace", "discard-replaced": "replace",
    "import": "create", "import-replacement": "replace", "discard": "delete",
}  # fmt: skip
"""Pulumi's finer words → ours (pulumi/pulumi, sdk/go/common/display)."""


def operation(step: Mapping[str, Any]) -> str:
    word = str(step["op"])
    return OPERATIONS.get(word, word)


def changes(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps that do something, one a resource and operation, the dangerous first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for step in steps:
        what = operation(step)
        if what not in QUIET:
            found.setdefault((what, step["urn"]), step)
    rank = {what: number for number, what in enumerate(ORDER)}
    return sorted(found.values(), key=lambda one: (rank.get(operation(one), len(ORDER)), one["urn"]))


def digest(steps: list[dict[str, Any]]) -> str:
    """Of what would be done to what, with which inputs; not of the order or of the state before."""
    facts = [
        [
            operation(one),
            one["urn"],
            {path: how.get("kind") for path, how in (one.get("detailedDiff") or {}).items()},
            (one.get("newState") or {}).get("inputs"),
        ]
        for one in changes(steps)
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def markdown(stack: str, steps: list[dict[str, Any]]) -> str:
    """The plan as a reviewer reads it, cut to what GitHub takes."""
    found = changes(steps)
    counts = Counter(operation(one) for one in found)
    told = ", ".join(
        f"{counts[what]} {what}" for what in (*ORDER, *sorted(set(counts) - set(ORDER))) if counts[what]
    )
    lines = [f"## Plan of `{stack}`", "", told or "Nothing would change.", ""]
    lost = [one for one in found if operation(one) in ("delete", "replace") and _type(one) in STATEFUL]
    if lost:
        names = ", ".join(f"`{_name(one)}`" for one in lost)
        lines += ["> [!CAUTION]", f"> Data or addresses would be lost: {names}", ""]
    if found:
        lines += [
            "<details><summary>Resources</summary>",
            "",
            "| | Resource | Type | Changed |",
            "|---|---|---|---|",
        ]
        lines += [f"| {_mark(one)} | `{_name(one)}` | {short(_type(one))} | {_paths(one)} |" for one in found]
        lines += ["</details>", ""]
    return cut("\n".join([*lines, f"`{digest(steps)}`", ""]))


def _mark(step: Mapping[str, Any]) -> str:
    return MARK.get(operation(step), operation(step))


def _name(step: Mapping[str, Any]) -> str:
    return str(step["urn"]).rsplit("::", 1)[-1]


def _type(step: Mapping[str, Any]) -> str:
    return str(step["urn"]).split("::")[2].split("$")[-1]


def _paths(step: Mapping[str, Any]) -> str:
    paths = sorted(step.get("detailedDiff") or step.get("diffReasons") or [])
    return ", ".join(f"`{path}`" for path in paths[:6]) + (" …" if len(paths) > 6 else "")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--stack", required=True, help="Shown in the title.")
@click.option("--expect", metavar="DIGEST", help="Fail unless the plan has this digest.")
@click.option("--digest-only", is_flag=True, help="Print the digest alone.")
def main(source: Path, stack: str, expect: str | None, digest_only: bool) -> None:
    """Show a plan, or compare it with the one that was approved.

    SOURCE is what `pulumi preview --json` printed. Exit code 1 when it is not the expected one, 2 when it is
    something else altogether.
    """
    steps = read(source.read_text())
    click.echo(digest(steps) if digest_only else markdown(stack, steps))
    if expect is not None and digest(steps) != expect:
        raise OperationFailed(
            "The plan is no longer the one that was approved: something changed in AWS or in the state. "
            "Start the workflow again and look at the new plan."
        )


if __name__ == "__main__":
    main()
