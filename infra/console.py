"""What a person sees while work goes on: steps with time, tables, errors. JSON goes to stdout alone."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a step while it runs and what it took; on stderr, so that stdout stays for the answer."""
    started = time.monotonic()
    if err.is_terminal:
        with err.status(title):
            yield
    else:
        yield
    err.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - started:.1f} s[/dim]")


def warn(text: str) -> None:
    """Something that went wrong beside the work; on stderr, word for word, whatever an API put into it."""
    err.print(Text.assemble(("!", "yellow"), " ", text), soft_wrap=True)


def print_json(value: Any) -> None:
    """Machine output: one JSON document on stdout."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")
