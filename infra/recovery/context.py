"""What every command here works with: one environment, its bucket, its lease table, its database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from infra.errors import UserError
from infra.home import home
from infra.recovery.database import Address
from infra.recovery.store import Store
from infra.stack import environment
from infra.stack.environment import Environment, client_config


@dataclass(frozen=True, slots=True)
class Context:
    """One environment as recovery meets it."""

    env: Environment
    store: Store
    store_region: str | None = None
    """Region of another bucket than the stack's own; its keys are there too."""

    @property
    def name(self) -> str:
        return self.env.outputs.environment

    @property
    def local(self) -> bool:
        return self.env.outputs.compute == "local"

    def client(self, service: str) -> Any:
        return self.env.client(service)

    @property
    def kms(self) -> Any:
        """KMS where the bucket is: after the loss of a region the other one's does not answer."""
        return client_in(self.env, "kms", self.store_region) if self.store_region else self.client("kms")

    def lease_table(self) -> Any:
        """DynamoDB table resource: the release table, which holds leases of every tool."""
        make: Any = _session(self.env, self.env.outputs.region).resource
        resource = make("dynamodb", endpoint_url=self.env.endpoint, config=client_config(self.env.endpoint))
        return resource.Table(self.env.outputs.release_table)

    def database(self) -> Address:
        """The database in use, as its owner: the service's own user may neither dump nor restore it.

        Raises `UserError` in another environment than `local` unless a file names its database: what lies in
        the state folder is the local one's.
        """
        if "SUPERAGENT_DATABASE_OWNER_URL_FILE" in os.environ:
            return Address.parse(read_secret("database_owner_url"))
        if "SUPERAGENT_DATABASE_URL_FILE" in os.environ:
            return Address.parse(read_secret("database_url"))
        if not self.local:
            raise UserError(
                f"Which login the database of {self.name} has is not known.",
                "Name a file with its owner's URL in SUPERAGENT_DATABASE_OWNER_URL_FILE.",
            )
        return Address.parse(read_secret("database_owner_url"))

    def redis_url(self) -> str:
        return read_secret("redis_url")


def load(stack: str, bucket: str | None = None, region: str | None = None) -> Context:
    """The context of `stack`; `bucket` and `region` replace its bucket by the replica in another region."""
    env = environment.load(stack)
    client = client_in(env, "s3", region) if region else env.client("s3")
    store = Store(client, bucket or env.outputs.backup_bucket, need_kms=env.endpoint is None)
    return Context(env, store, region)


def client_in(env: Environment, service: str, region: str) -> Any:
    """A client of another region than the stack's."""
    make: Any = _session(env, region).client
    return make(service, endpoint_url=env.endpoint, config=client_config(env.endpoint))


def _session(env: Environment, region: str) -> boto3.Session:
    local = "local" if env.endpoint else None
    return boto3.Session(aws_access_key_id=local, aws_secret_access_key=local, region_name=region)


def secret_path(name: str) -> Path:
    """The file of a secret: `SUPERAGENT_<NAME>_FILE`, else in the state folder."""
    given = os.environ.get(f"SUPERAGENT_{name.upper()}_FILE")
    return Path(given) if given else home() / "secrets" / name


def read_secret(name: str) -> str:
    """The value of a secret; `UserError` naming the file when it cannot be read."""
    path = secret_path(name)
    try:
        return path.read_text().strip()
    except OSError as failed:
        raise UserError(
            f"{path} cannot be read: {failed.strerror}.",
            f"Run `superagent up`, or name the file in SUPERAGENT_{name.upper()}_FILE.",
        ) from None
