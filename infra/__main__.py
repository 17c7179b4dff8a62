"""The Pulumi program: settings, components, outputs. Each line of `estate` is one chapter of the estate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pulumi

# The program imports the packages beside it, whichever checkout is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.errors import UserError
from infra.stack import account as accounts
from infra.stack import configuration
from infra.stack.backups import Backups
from infra.stack.edge import Edge
from infra.stack.exports import exports
from infra.stack.network import Network
from infra.stack.observability import Observability
from infra.stack.releases import Releases
from infra.stack.settings import Settings
from infra.stack.tags import tag_everything


def local(settings: Settings) -> dict[str, Any]:
    """The part of the estate that the local system stands on."""
    account = accounts.current(settings)
    observability = Observability(settings, account, None)
    network = Network(settings)
    edge = Edge(settings, network, None, None)
    return exports(settings, network, edge, Releases(settings), Backups(settings, account), observability)


def cloud(settings: Settings) -> dict[str, Any]:
    """The whole estate in AWS, in the order of its needs."""
    from infra.stack import cloud as aws  # here: the local system starts without these imports

    account = accounts.current(settings)
    secrets = aws.Secrets(settings, account)
    observability = Observability(settings, account, secrets)
    network = Network(settings)
    aws.FlowLogs(settings, network, observability, account)
    aws.Endpoints(settings, network)
    logs = aws.AccessLogs(settings, account)
    edge = Edge(settings, network, aws.Certificate(settings).arn, logs.bucket)
    aws.Address(settings, edge)
    aws.Waf(settings, edge, observability)
    registry = aws.Registry(settings, secrets)
    releases = Releases(settings)
    database = aws.Database(settings, network, secrets, observability, edge.service_group)
    cache = aws.Cache(settings, network, secrets, observability, edge.service_group)
    backups = Backups(settings, account)
    aws.Vault(settings, account, database, releases, observability)
    aws.Alarms(settings, edge, database, cache, observability)
    identity = aws.Identity(settings, account, edge, registry, releases, backups, observability)
    if settings.cross_region_replica:
        aws.DisasterRecovery(settings, account, database)
    parts = (account, network, edge, secrets, registry, database, cache, releases, backups, observability)
    aws.fleet(settings, aws.Estate(*parts, identity.roles))
    return exports(settings, network, edge, releases, backups, observability)


def main() -> None:
    try:
        settings = configuration.load(pulumi.get_stack(), configuration.pulumi_config())
    except UserError as wrong:
        raise pulumi.RunError(wrong.message) from None
    tag_everything(settings)
    for name, value in (local if settings.local else cloud)(settings).items():
        pulumi.export(name, value)


main()
