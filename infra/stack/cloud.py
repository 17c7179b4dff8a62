"""The components that only an AWS environment has, and the choice of its compute."""

from __future__ import annotations

from infra.stack.access_logs import AccessLogs
from infra.stack.alarms import Alarms
from infra.stack.cache import Cache
from infra.stack.component import Component
from infra.stack.database import Database
from infra.stack.disaster import DisasterRecovery
from infra.stack.dns import Address, Certificate
from infra.stack.endpoints import Endpoints
from infra.stack.fleet_ec2 import Estate, FleetEc2
from infra.stack.flow_logs import FlowLogs
from infra.stack.identity import Identity
from infra.stack.registry import Registry
from infra.stack.secrets import Secrets
from infra.stack.settings import Settings
from infra.stack.vault import Vault
from infra.stack.waf import Waf

__all__ = [
    "AccessLogs",
    "Address",
    "Alarms",
    "Cache",
    "Certificate",
    "Database",
    "DisasterRecovery",
    "Endpoints",
    "Estate",
    "FlowLogs",
    "Identity",
    "Registry",
    "Secrets",
    "Vault",
    "Waf",
    "fleet",
]


def fleet(settings: Settings, estate: Estate) -> Component:
    """Both colours on the compute that the settings name; everything around them is the same."""
    if settings.compute == "eks":
        from infra.stack.fleet_eks import FleetEks  # the Kubernetes SDK is large, and only this needs it

        return FleetEks(settings, estate)
    return FleetEc2(settings, estate)
