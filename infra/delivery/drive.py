"""Drive a release from a job that may not live as long as the release does.

    python -m infra.delivery.drive --stack prod --linger-minutes 30 -- start --image REPOSITORY:TAG

Once the new colour has all traffic, the old one stays for its clients, in prod for a day: longer than a job
or its credentials live. After that long in `linger` the controller is interrupted (traffic stays as it is,
docs/operations/release.md) and `handed_over=true` goes to $GITHUB_OUTPUT: the job `finish` resumes it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from infra.errors import UserError

LINGER: Final = "linger"
TOOL: Final = (sys.executable, "-m", "infra.cli")
LOOK_SECONDS: Final = 15.0
INTERRUPTED: Final = 130


class Patience:
    """How long the release has been lingering, by this process's clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.since: float | None = None

    def over(self, phase: str | None, now: float) -> bool:
        """Whether to hand over; a phase that cannot be read (`None`) counts for nothing."""
        if phase is None:
            return False
        if phase != LINGER:
            self.since = None
            return False
        self.since = now if self.since is None else self.since
        return now - self.since >= self.seconds


def phase(stack: str, tool: tuple[str, ...] = TOOL) -> str | None:
    """Where the release stands; `None` when nobody can say just now."""
    words = [*tool, "release", "status", "--stack", stack, "--json", "--once"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        found: dict[str, Any] = json.loads(done.stdout)
        return str(found["run"]["phase"]) if found["run"] else None
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return None


def drive(
    stack: str, words: list[str], patience: Patience, tool: tuple[str, ...] = TOOL, look: float = LOOK_SECONDS
) -> tuple[int, bool]:
    """Run `superagent release …`; its exit code, and whether it was handed over."""
    child = subprocess.Popen([*tool, "release", *words, "--stack", stack, "--json"])
    try:
        while True:
            try:
                return child.wait(look), False
            except subprocess.TimeoutExpired:
                if patience.over(phase(stack, tool), time.monotonic()):
                    child.send_signal(signal.SIGINT)
                    ended = child.wait()
                    return (0, True) if ended == INTERRUPTED else (ended, False)
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        return child.wait(), False


@click.command(context_settings={"help_option_names": ["-h", "--help"], "ignore_unknown_options": True})
@click.option("--stack", required=True, help="Environment to release to.")
@click.option(
    "--linger-minutes",
    type=click.IntRange(0, 300),
    default=30,
    show_default=True,
    help="How long to stay with a release that only waits for the old colour's clients.",
)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
def main(stack: str, linger_minutes: int, words: tuple[str, ...]) -> None:
    """Run `superagent release WORDS` and hand over while the old colour lingers."""
    if words[0] not in ("start", "resume"):
        raise UserError(f"release {words[0]} drives nothing.", "Use start or resume.")
    code, handed_over = drive(stack, list(words), Patience(linger_minutes * 60))
    if output := os.environ.get("GITHUB_OUTPUT"):
        with Path(output).open("a") as file:
            file.write(f"handed_over={str(handed_over).lower()}\n")
    if handed_over:
        click.echo("Handed over: the old colour lingers; the job `finish` resumes the release.", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
