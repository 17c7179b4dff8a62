"""Numbers as a person reads them."""

from __future__ import annotations

import math


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if math.isinf(value):
        return "over 300 s"
    if value < 0.0095:
        return f"{value * 1000:.1f} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{share * 100:.1f} %" if 0 < share < 0.1 else f"{share * 100:.0f} %"


def money(usd: float) -> str:
    return f"${usd:.4f}" if 0 < usd < 1 else f"${usd:.2f}"
