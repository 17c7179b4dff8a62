"""The rest of the cloud estate in moto: not needed by the local system, created and read by a test."""

from __future__ import annotations

from typing import Final

from tests.infra.local.moto_kinds import access, compute, data, watch
from tests.infra.local.moto_kinds.kind import Kind

KINDS: Final[dict[str, Kind]] = {**access.KINDS, **data.KINDS, **compute.KINDS, **watch.KINDS}
"""By Pulumi type: how it is created, and what must read back."""
