"""From the name a client writes to the targets that can answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from service.providers import catalog
from service.providers.base import CanonicalRequest, Image, UnknownModel
from service.providers.catalog import ModelInfo, Price
from service.providers.config import AliasEntry, ConfigError, ProviderConfig, ProvidersConfig
from service.providers.tokens import estimate_request
from service.routing.target import Load, Target, Upstream

ANY = "*"  # in a provider's `models`: it takes every name (Ollama and the like)


class ModelEntry(Struct, frozen=True):
    """One line of `GET /v1/models`. `owned_by` is the provider, or "superagent" for an alias."""

    id: str
    owned_by: str
    info: ModelInfo | None = None


class Models:
    """Names resolve by exact alias, exact model, `provider/model`, in one look-up."""

    def __init__(
        self,
        config: ProvidersConfig,
        upstreams: dict[str, Upstream],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._loads: dict[str, Load] = {}
        self._configs = {provider.name: provider for provider in config.providers}
        self._targets: dict[str, tuple[Target, ...]] = {}
        self._entries: list[ModelEntry] = []
        for provider in config.providers:
            for model in upstreams[provider.name].provider.models:
                if model == ANY:
                    continue
                target = self._target(provider, model, weight=provider.weight)
                self._targets[target.name] = (target,)
                self._targets[model] = (*self._targets.get(model, ()), target)
                self._entries.append(ModelEntry(target.name, provider.name, target.info))
        for alias, entries in config.aliases.items():
            chain = tuple([self._member(entry, alias) for entry in entries])
            self._targets[alias] = chain
            self._entries.append(ModelEntry(alias, "superagent", chain[0].info))

    def resolve(self, name: str) -> tuple[Target, ...]:
        """The targets behind a name, in configured order; raises `UnknownModel`."""
        found = self._targets.get(name)
        return found if found is not None else self._unlisted(name)

    def entries(self) -> list[ModelEntry]:
        return list(self._entries)

    def _unlisted(self, name: str) -> tuple[Target, ...]:
        """Names with simulator options, and those of providers that take any name. Nothing is kept."""
        base, has_options, options = name.partition(";")
        if has_options:
            simulated = [t for t in self._targets.get(base, ()) if t.upstream.provider.kind == "simulator"]
            if simulated:
                return tuple([_variant(target, f"{target.model};{options}") for target in simulated])
        provider_name, slash, model = name.partition("/")
        provider = self._configs.get(provider_name)
        if slash and model and provider is not None:
            upstream = self._upstreams[provider_name]
            if ANY in upstream.provider.models:
                return (Target(upstream, model, catalog.find(model), Load(self._clock), label="other"),)
        raise UnknownModel(name)

    def _member(self, entry: str | AliasEntry, alias: str) -> Target:
        wanted = AliasEntry(target=entry) if isinstance(entry, str) else entry
        name, _, model = wanted.target.partition("/")
        upstream = self._upstreams[name]
        base = model.partition(";")[0]
        if base not in upstream.provider.models and ANY not in upstream.provider.models:
            raise ConfigError(
                f"aliases.{alias}: {name} has no model {base!r}. "
                f"Add it to providers.{name}.models or use one of: {', '.join(upstream.provider.models)}."
            )
        return self._target(self._configs[name], model, weight=wanted.weight, tier=wanted.tier)

    def _target(self, provider: ProviderConfig, model: str, *, weight: float, tier: int = 0) -> Target:
        info = catalog.find(model.partition(";")[0])
        own = provider.prices.get(model)
        if own is not None:
            try:
                price = msgspec.convert(own, Price)
            except msgspec.ValidationError as error:
                raise ConfigError(f"providers.{provider.name}.prices.{model}: {error}.") from None
            info = msgspec.structs.replace(info or ModelInfo(), price=price)
        load = self._loads.setdefault(f"{provider.name}/{model}", Load(self._clock))
        return Target(self._upstreams[provider.name], model, info, load, weight=weight, tier=tier)


def _variant(target: Target, model: str) -> Target:
    return Target(target.upstream, model, target.info, target.load, weight=target.weight, tier=target.tier)


def misfit(target: Target, request: CanonicalRequest) -> str | None:
    """Why a target cannot answer this request, as far as the catalog knows."""
    info = target.info
    if info is None:
        return None
    if request.tools and not info.tools:
        return "no tools"
    if not info.images and any(type(part) is Image for m in request.messages for part in m.parts):
        return "no images"
    form = request.response_format
    if form is not None and form.kind == "json_schema" and not info.json_schema:
        return "no JSON schema"
    if info.context is not None and estimate_request(request) + (request.max_tokens or 0) > info.context:
        return f"context of {info.context} tokens is too small"
    return None


def fitting(targets: Sequence[Target], request: CanonicalRequest) -> list[Target]:
    """The targets that can do what is asked; all of them when none can, so that a provider explains."""
    able = [target for target in targets if misfit(target, request) is None]
    return able or list(targets)
