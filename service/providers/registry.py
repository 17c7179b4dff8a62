"""Kind -> adapter; an adapter is imported when a provider of its kind is configured."""

from __future__ import annotations

from service.providers.base import Provider
from service.providers.config import ProviderConfig


def build(config: ProviderConfig) -> Provider:
    """The provider a configuration entry describes. Opens no connection; raises `ConfigError`."""
    if config.kind == "simulator":
        from service.providers.simulator import Simulator

        return Simulator(
            config.name,
            config.models or ("echo", "lorem", "tools"),
            config.options,
            config.timeouts,
        )
    if config.kind == "openai":
        from service.providers.openai_compatible import OpenAICompatible

        return OpenAICompatible(config)
    if config.kind == "anthropic":
        from service.providers.anthropic import Anthropic

        return Anthropic(config)
    if config.kind == "gemini":
        from service.providers.gemini import Gemini

        return Gemini(config)
    from service.providers.bedrock import Bedrock

    return Bedrock(config)
