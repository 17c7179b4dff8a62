"""From settings to a semantic cache. Nothing it needs is imported while it is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.limits.admission import Redis
from service.settings import Settings
from service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from service.cache.semantic import SemanticCache
    from service.cache.semantic_embed import Embedder

LOCAL: Final = "local"
SETTING: Final = "SUPERAGENT_SEMANTIC_CACHE_EMBEDDER"


def semantic_cache(
    settings: Settings, router: Any, link: Redis | None, metrics: Metrics
) -> SemanticCache | None:
    """None when it is off. Raises `ValueError` with what is missing and what to do about it."""
    if not settings.semantic_cache_embedder:
        return None
    if link is None:
        raise ValueError(f"{SETTING} needs Redis: set SUPERAGENT_REDIS_URL, or leave the embedder empty.")
    try:
        from service.cache.semantic import SemanticCache

        embedder = _embedder(settings, router)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{SETTING} needs the package {error.name}, which is not installed: "
            "pip install -r service/requirements-semantic.txt (or 'superagent[semantic]'), "
            "or leave the embedder empty."
        ) from None
    return SemanticCache(
        embedder,
        link,
        metrics,
        threshold=settings.semantic_cache_threshold,
        entries=settings.semantic_cache_entries,
    )


def _embedder(settings: Settings, router: Any) -> Embedder:
    from service.cache.semantic_embed import LocalEmbedder, ProvidedEmbedder

    name = settings.semantic_cache_embedder
    if name == LOCAL:
        try:
            return LocalEmbedder()
        except ValueError as error:
            raise ValueError(
                f"{SETTING}: {error}; install what service/requirements-semantic.txt pins."
            ) from None
    if not router.knows(name):
        raise ValueError(
            f"{SETTING}: no provider has the model {name!r}: name one that SUPERAGENT_PROVIDERS_FILE "
            "has, or `local`."
        )
    return ProvidedEmbedder(router.embed, name, settings.semantic_cache_timeout_seconds)
