"""What a workflow must know of a stack before it has credentials: region, state, roles.

    python -m infra.delivery.values --stack prod --account 123456789012 >> "$GITHUB_OUTPUT"

Names of roles come from the code that makes them (`infra/stack/identity.py`), so that they cannot differ.
"""

from __future__ import annotations

import re
from typing import Final

import click

from infra.errors import UserError
from infra.preview.estate import configuration as keys_of
from infra.stack import configuration
from infra.stack.identity import TRUSTED
from infra.stack.settings import Settings

ACCOUNT: Final = re.compile(r"\d{12}")


def values(wanted: Settings, account: str) -> dict[str, str]:
    """Names and values of a step's outputs; none is a secret. Raises `UserError` for what is not set."""
    if ACCOUNT.fullmatch(account) is None:
        raise UserError(
            f"--account {account!r} is no AWS account.",
            "Set the repository's variable AWS_ACCOUNT_ID to its twelve digits.",
        )
    if wanted.state_bucket is None:
        raise UserError(
            f"superagent:state_bucket of {wanted.environment} is not set.",
            "Name the bucket of `pulumi login s3://…` in the stack's file.",
        )
    names = wanted.names
    registry = f"{account}.dkr.ecr.{wanted.region}.amazonaws.com"
    return {
        "region": wanted.region,
        "backend": f"s3://{wanted.state_bucket}",
        "registry": registry,
        "repository": f"{registry}/{names.of('service')}",
        "server_name": wanted.domain or "",
        "cluster": names.of("eks") if wanted.compute == "eks" else "",
        **{f"{role}_role": f"arn:aws:iam::{account}:role/{names.of(role, 64)}" for role in TRUSTED},
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stack", required=True, help="Stack, as `Pulumi.<stack>.yaml` configures it.")
@click.option("--account", required=True, help="AWS account of the stack, twelve digits.")
def main(stack: str, account: str) -> None:
    """Print `name=value` lines for $GITHUB_OUTPUT."""
    wanted = configuration.load(stack, keys_of(stack, {}))
    for name, value in values(wanted, account).items():
        click.echo(f"{name}={value}")


if __name__ == "__main__":
    main()
