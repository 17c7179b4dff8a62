"""The table, by area: one module each."""

from __future__ import annotations

from typing import Final

from tests.mutations.areas import (
    api,
    auth,
    caches,
    degradation,
    estate,
    ledger,
    limits,
    providers,
    recovery,
    release,
    routing,
    safety,
    semantic,
    telemetry,
    traces,
)
from tests.mutations.row import Areas

AREAS: Final[Areas] = {
    "providers": providers.ROWS,
    "routing": routing.ROWS,
    "api": api.ROWS,
    "auth": auth.ROWS,
    "limits": limits.ROWS,
    "caches": caches.ROWS,
    "semantic": semantic.ROWS,
    "ledger": ledger.ROWS,
    "telemetry": telemetry.ROWS,
    "traces": traces.ROWS,
    "safety": safety.ROWS,
    "degradation": degradation.ROWS,
    "release": release.ROWS,
    "recovery": recovery.ROWS,
    "estate": estate.ROWS,
}
