"""Provision the emulated AWS by running the real Pulumi program; see infra/stack/offline.py for how.

    python -m infra.local.provision --endpoint http://127.0.0.1:5000 --config http_port=8080

Idempotent against an emulator that remembers: a second run finds what the first one made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from threading import Lock
from typing import Any, Final

import click

from infra.errors import OperationFailed, UserError
from infra.home import CHECKOUT
from infra.stack import configuration
from infra.stack.outputs import StackOutputs

TIMEOUT_SECONDS: Final = 120
"""Far above the two seconds it takes: a stuck emulator is reported instead of waited for."""


def provision(stack: str, endpoint: str, config: Mapping[str, str]) -> StackOutputs:
    """Run the program for `stack` against the AWS API at `endpoint`; keys may lack their `superagent:`.

    The settings are checked here; the program runs in a process of its own, because Pulumi's monitor lives
    once a process. Raises `UserError` for a wrong setting and `OperationFailed` when the emulator refuses.
    """
    full = _full(config)
    configuration.load(stack, full)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "outputs.json"
        command = [sys.executable, "-m", "infra.local.provision", "--stack", stack, "--endpoint", endpoint]
        pairs = [part for key, value in full.items() for part in ("--config", f"{key}={value}")]
        try:
            done = subprocess.run(
                [*command, *pairs, "--out", str(out)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            )
        except subprocess.TimeoutExpired:
            raise OperationFailed(
                f"The AWS API at {endpoint} did not answer within {TIMEOUT_SECONDS} s; see its log."
            ) from None
        if done.returncode:
            raise OperationFailed(f"Provisioning failed: {done.stderr.strip()[-2000:]}")
        return StackOutputs(**json.loads(out.read_text()))


def in_process(stack: str, endpoint: str, config: Mapping[str, str]) -> StackOutputs:
    """The same in this process; once only."""
    from infra.local.emulated import MAKERS
    from infra.local.emulated_clients import Aws  # here, so that importing this module stays cheap
    from infra.stack import offline

    full = _full(config)
    wanted = configuration.load(stack, full)
    aws = Aws(endpoint, wanted.region)
    one_at_a_time = Lock()  # moto keeps its state in plain dicts without locks

    def answer(registration: offline.Registration) -> tuple[str, dict[str, Any]]:
        maker = MAKERS.get(registration.type)
        if maker is None:
            return f"{registration.name}-recorded", dict(registration.inputs)
        with one_at_a_time:
            identity, outputs = maker(aws, registration)
        return identity, {**registration.inputs, **outputs}

    found = offline.run(stack, full, answer).outputs
    return StackOutputs(**{one.name: found[one.name] for one in fields(StackOutputs)})


def _full(config: Mapping[str, str]) -> dict[str, str]:
    """Configuration with every key in its namespace."""
    return {key if ":" in key else f"{configuration.NAMESPACE}{key}": value for key, value in config.items()}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stack", default="local", show_default=True, help="Stack to run the program for.")
@click.option("--endpoint", required=True, metavar="URL", help="Where the emulated AWS API listens.")
@click.option(
    "--config",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="A configuration key; `superagent:` may be left out. Pulumi.yaml lists them.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the outputs here instead of stdout."
)
def main(stack: str, endpoint: str, pairs: tuple[str, ...], out: Path | None) -> None:
    """Create the estate in an emulated AWS by running the real Pulumi program.

    \b
    python -m infra.local.provision --endpoint http://127.0.0.1:5000 --config http_port=8080
    """
    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong is not None:
        raise UserError(f"--config {wrong!r} has no value.", "Write it as KEY=VALUE.")
    text = json.dumps(
        asdict(in_process(stack, endpoint, dict(pair.split("=", 1) for pair in pairs))), indent=2
    )
    if out is None:
        click.echo(text)
    else:
        out.write_text(text + "\n")


if __name__ == "__main__":
    main()
