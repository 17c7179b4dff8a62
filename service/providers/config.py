"""PROVIDERS_FILE: which providers there are, their aliases and how calls are routed.

{"providers": [{"name": "openai", "kind": "openai", "key_file": "/run/secrets/openai",
                "models": ["gpt-5", "gpt-5-mini"]},
               {"name": "claude", "kind": "anthropic", "key_env": "ANTHROPIC_API_KEY",
                "models": ["claude-sonnet-4-5"]}],
 "aliases": {"best": ["claude/claude-sonnet-4-5", "openai/gpt-5"]},
 "routing": {"policy": "priority"}}
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field, structs

from service.providers.base import Timeouts

Kind = Literal["openai", "anthropic", "gemini", "bedrock", "simulator"]
PolicyName = Literal["priority", "weighted", "least_latency", "cheapest"]


class ConfigError(ValueError):
    """The providers file is wrong; the message names the field, the value and the fix, never a key."""


class ProviderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One upstream account. `base_url` may stay empty where the kind (and flavour) has a known one."""

    name: str
    kind: Kind
    models: tuple[str, ...] = ()
    base_url: str = ""
    flavour: str = ""  # kind openai: openai, deepseek, qwen, cerebras, ollama, vllm, llamacpp, generic
    key_file: str = ""
    key_env: str = ""
    region: str = ""  # kind bedrock
    timeouts: Timeouts = Timeouts()
    max_connections: int = 512
    ca_file: str = ""
    proxy: str = ""  # http://host:port, used with CONNECT for https upstreams
    allow_private: bool = False  # upstreams on loopback or private addresses
    send_traceparent: bool = False  # of traced requests; ids of ours then reach this provider
    weight: float = 1.0
    prices: dict[str, dict[str, float]] = field(default_factory=dict)  # model -> price, over the catalog
    options: dict[str, Any] = field(default_factory=dict)  # kind simulator: its defaults

    def key(self) -> str:
        """The API key, read now so that a rotated file counts at the next start. "" when none is set."""
        key = self._key()
        if not all("!" <= char <= "~" for char in key):
            raise ConfigError(
                f"providers.{self.name}: its key holds a space, a line break or a letter that no key has. "
                "Write the key alone, as the provider shows it."
            )
        return key

    def _key(self) -> str:
        if self.key_file:
            try:
                return Path(self.key_file).read_text().strip()
            except OSError as error:
                raise ConfigError(
                    f"providers.{self.name}.key_file: {self.key_file} cannot be read ({error.strerror}). "
                    "Point it to a readable file that holds the key."
                ) from None
        if self.key_env:
            key = os.environ.get(self.key_env, "").strip()
            if not key:
                raise ConfigError(
                    f"providers.{self.name}.key_env: the variable {self.key_env} is empty. "
                    "Set it, or use key_file."
                )
            return key
        return ""


class AliasEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member of an alias. A lower `tier` is used before a higher one, whatever the policy."""

    target: str  # provider/model
    weight: float = 1.0
    tier: int = 0


class RoutingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How calls are spread, repeated and given up. Times in seconds."""

    policy: PolicyName = "priority"
    breaker_failures: int = 5
    breaker_open_seconds: float = 30.0
    breaker_successes: int = 2
    tries_per_target: int = 2
    max_attempts: int = 6
    backoff_base: float = 0.1
    backoff_cap: float = 2.0
    retry_budget_ratio: float = 0.2  # repeats allowed per call, averaged
    retry_budget_floor: float = 10.0  # repeats that may come at once
    hedge_after: float = 0.0  # 0: never; else start a second provider after so long without a token
    health_interval: float = 30.0  # 0: no active checks


class ProvidersConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    providers: tuple[ProviderConfig, ...]
    aliases: dict[str, tuple[str | AliasEntry, ...]] = field(default_factory=dict)
    routing: RoutingConfig = RoutingConfig()


SIMULATOR_ONLY = ProvidersConfig(
    providers=(ProviderConfig(name="simulator", kind="simulator", models=("echo", "lorem", "tools")),),
    aliases={"simulator": ("simulator/echo",)},
)


def parse_config(raw: bytes, source: str = "PROVIDERS_FILE") -> ProvidersConfig:
    """The checked configuration in `raw` (JSON)."""
    try:
        config = msgspec.json.decode(raw, type=ProvidersConfig)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{source}: {error}. See service/providers/config.py for every field.") from None
    _check(config, source)
    return config


def load_config(path: Path | None) -> ProvidersConfig:
    """The configuration in the file, or the simulator alone when there is no file."""
    if path is None:
        return SIMULATOR_ONLY
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"PROVIDERS_FILE: {path} cannot be read ({error.strerror}). Point it to a readable JSON file."
        ) from None
    return parse_config(raw, str(path))


def _check(config: ProvidersConfig, source: str) -> None:
    if not config.providers:
        raise ConfigError(f"{source}: providers is empty. Name at least one provider.")
    names = [provider.name for provider in config.providers]
    for name in names:
        if not name or "/" in name:
            raise ConfigError(f"{source}: providers.name is {name!r}. Use a non-empty name without '/'.")
        if names.count(name) > 1:
            raise ConfigError(f"{source}: two providers are named {name!r}. Give each its own name.")
    for provider in config.providers:
        if provider.key_file and provider.key_env:
            raise ConfigError(f"{source}: providers.{provider.name} has key_file and key_env. Keep one.")
        if provider.weight < 0:
            raise ConfigError(f"{source}: providers.{provider.name}.weight is below 0. Use 0 or more.")
        if provider.max_connections < 1:
            raise ConfigError(f"{source}: providers.{provider.name}.max_connections must be 1 or more.")
        if min(structs.astuple(provider.timeouts)) <= 0:
            raise ConfigError(f"{source}: providers.{provider.name}.timeouts must all be above 0 seconds.")
    for alias, entries in config.aliases.items():
        if not entries:
            raise ConfigError(f"{source}: aliases.{alias} is empty. List provider/model entries.")
        for entry in entries:
            target = entry if isinstance(entry, str) else entry.target
            if target.partition("/")[0] not in names or "/" not in target:
                raise ConfigError(
                    f"{source}: aliases.{alias} names {target!r}, whose provider is not configured. "
                    f"Write provider/model with one of: {', '.join(names)}."
                )
    numbers = config.routing
    counts = ("breaker_failures", "breaker_successes", "tries_per_target", "max_attempts")
    if min(getattr(numbers, name) for name in counts) < 1:
        raise ConfigError(f"{source}: routing.{', '.join(counts)} must be 1 or more.")
