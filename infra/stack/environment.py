"""One environment as the other commands meet it: its outputs and clients for its AWS."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infra.errors import UserError
from infra.home import home, project
from infra.stack.outputs import StackOutputs

OUTPUTS_FILE = "SUPERAGENT_OUTPUTS_FILE"
PULUMI_SECONDS = 120.0
CLIENT_CONFIG = Config(
    retries={"mode": "adaptive", "total_max_attempts": 9}, connect_timeout=3, read_timeout=30
)


@dataclass(frozen=True, slots=True)
class Environment:
    """`outputs` of one stack, and boto3 clients that reach its account (or, for `local`, its emulator)."""

    outputs: StackOutputs
    endpoint: str | None
    """AWS endpoint of the local system; `None` in AWS."""

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client of `service` with adaptive retries and short timeouts, in the stack's region or
        another.
        """
        local = "local" if self.endpoint else None  # the emulator takes any credentials, but wants some
        session = boto3.Session(
            aws_access_key_id=local,
            aws_secret_access_key=local,
            region_name=region or self.outputs.region,
        )
        make: Any = session.client
        return make(
            service,
            endpoint_url=self.endpoint,
            config=client_config(self.endpoint),
        )


def client_config(endpoint: str | None) -> Config:
    """Configuration of a client; one of the local system's own endpoint never goes through HTTP_PROXY.

    Nor does it sign what S3 stores: over TLS botocore leaves that out; without TLS it would hash every byte
    once more, for an emulator that does not look. The CRC-32 that S3 checks stays.
    """
    if endpoint is None:
        return CLIENT_CONFIG
    return CLIENT_CONFIG.merge(Config(proxies={}, s3={"payload_signing_enabled": False}))


def load(stack: str) -> Environment:
    """Read the outputs of `stack`: from the state folder for `local`, else from the file that
    `SUPERAGENT_OUTPUTS_FILE` names (on instances and in pods, which have no Pulumi), else from
    `pulumi stack output`.

    Raises `UserError` when the stack does not exist, is not up, or lacks an output.
    """
    if stack == "local":
        return Environment(_outputs(_local_outputs(), stack), _local_endpoint())
    if path := os.environ.get(OUTPUTS_FILE):
        return Environment(_outputs(_given_outputs(Path(path), stack), stack), None)
    return Environment(_outputs(_pulumi_outputs(stack), stack), None)


def _given_outputs(path: Path, stack: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as failed:
        raise UserError(f"{path} is no file of outputs: {failed}.", f"Correct {OUTPUTS_FILE}.") from None
    if not isinstance(found, dict) or found.get("environment") != stack:
        described = found.get("environment") if isinstance(found, dict) else found
        raise UserError(
            f"{path} describes {described!r}, not {stack!r}.",
            f"Correct {OUTPUTS_FILE} or --stack.",
        )
    return found


def _local_outputs() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((home() / "outputs.json").read_text())
    except FileNotFoundError:
        raise UserError("The local system is not up.", "Start it with `superagent up`.") from None
    return found


def _local_endpoint() -> str:
    try:
        state = json.loads((home() / "state.json").read_text())
        return f"http://127.0.0.1:{int(state['ports']['aws'])}"
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{home() / 'state.json'} does not name the local AWS endpoint.", "Run `superagent up`."
        ) from None


def _pulumi_outputs(stack: str) -> dict[str, Any]:
    command = ["pulumi", "stack", "output", "--json", "--stack", stack]
    try:
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=PULUMI_SECONDS,
            # A question for a passphrase would be asked where nobody sees it.
            stdin=subprocess.DEVNULL,
            cwd=project(),
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"Pulumi did not tell the outputs of stack {stack!r} within {PULUMI_SECONDS:g} s.",
            f"See what it waits for: `pulumi stack output --stack {stack}`.",
        ) from None
    except FileNotFoundError:
        raise UserError(
            f"Reading stack {stack!r} needs the Pulumi CLI, which is not on PATH.",
            "Install it (docs/operations/environments.md).",
        ) from None
    except subprocess.CalledProcessError as failed:
        raise UserError(
            f"Pulumi could not read stack {stack!r}: {failed.stderr.strip()}",
            "Check the stack's name and `pulumi login`.",
        ) from None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _outputs(found: dict[str, Any], stack: str) -> StackOutputs:
    missing = [one.name for one in fields(StackOutputs) if one.default is MISSING and one.name not in found]
    if missing:
        raise UserError(
            f"Stack {stack!r} has no output {', '.join(missing)}.", "Run `pulumi up` with this checkout."
        )
    return StackOutputs(**{one.name: found[one.name] for one in fields(StackOutputs) if one.name in found})


def metrics_folder() -> Path:
    """Where the tools leave their metrics for the textfile collector."""
    return home() / "metrics"
