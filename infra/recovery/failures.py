"""What Postgres, Redis or AWS says itself, in the middle of a command, as the failure of that command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import psycopg
import redis
from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import OperationFailed


@contextmanager
def told(what: str, then: str = "") -> Iterator[None]:
    """Raises `OperationFailed` for what would else end the command with a trace: `what` failed, and why.

    `then` is what to do next.
    """
    try:
        yield
    except (psycopg.Error, redis.RedisError) as failed:
        reason = (str(failed).strip().splitlines() or [type(failed).__name__])[0]
    except ClientError as failed:
        reason = f"{failed.operation_name}: {failed.response.get('Error', {}).get('Code', 'unknown error')}"
    except BotoCoreError as failed:
        reason = f"AWS does not answer ({type(failed).__name__})"
    else:
        return
    raise OperationFailed(f"{what} failed: {reason}.{then and ' '}{then}")


class Told:
    """Mixed into a command or group of click: its verbs end with a sentence and not with a trace."""

    after = ""
    """What to do when one did."""

    def invoke(self, ctx: click.Context) -> Any:
        with told(f"`{ctx.command_path}`", self.after):
            return super().invoke(ctx)  # type: ignore[misc]


class Command(Told, click.Command):
    """A verb."""


class Group(Told, click.Group):
    """A group of verbs."""
