"""Pieces of time as the metric store has them: what `effect` compares and `history` draws a trend through."""

from __future__ import annotations

from typing import Final

from infra.advise.action import Action
from infra.advise.effect import Piece
from infra.advise.observe import Store, edges, value
from infra.advise.observed import MODEL_PATHS
from infra.release import sample, stats

API: Final = f'path=~"{sample.API_PATHS}",path!="{sample.CHEAP_PATH}"'
MODELS: Final = f'path=~"{"|".join(sorted(MODEL_PATHS))}"'


def touched_by(action: Action) -> str:
    """Matchers of the endpoints that an action can touch: a cache is for model requests alone."""
    return MODELS if action.kind == "setting" else API


def piece(store: Store, environment: str, until: float, seconds: float, endpoints: str = API) -> Piece:
    """The piece that ends at `until` (epoch seconds). Raises what the store raises."""
    labels, stretch = f'environment="{environment}"', f"[{seconds:.0f}s]"
    api = f"{labels},{endpoints}"

    def total(metric: str, matchers: str) -> float:
        rows = store.query(f"sum(increase({metric}{{{matchers}}}{stretch}))", until)
        return value(rows[0]) if rows else 0.0

    buckets = edges(store.query(f"sum by (le) (increase({sample.DURATION}{{{api}}}{stretch}))", until))
    return Piece(
        at=until,
        requests=total(sample.REQUESTS, api),
        errors=total(sample.REQUESTS, f'{api},status=~"5.."'),
        p95=stats.quantile(0.95, buckets),
        cost_usd=total(sample.COST, labels),
    )


def pieces(
    store: Store, environment: str, until: float, seconds: float, count: int, endpoints: str = API
) -> list[Piece]:
    """`count` pieces in a row that do not overlap, oldest first; the last one ends at `until`."""
    ends = [until - seconds * number for number in range(count - 1, -1, -1)]
    return [piece(store, environment, end, seconds, endpoints) for end in ends]
