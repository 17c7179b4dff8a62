"""What is known about models: prices, limits, abilities (catalog.toml says since when and from where)."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

from service.providers.base import Usage

CATALOG: Final = Path(__file__).with_name("catalog.toml")
MILLION: Final = 1_000_000

# Bedrock's inference profiles: a model, served from the regions of an area. Current models have no other name
# there. Areas cost a tenth more than `global` (platform.claude.com, "Pricing", third-party platforms).
AREAS: Final = frozenset({"us", "us-gov", "eu", "apac", "au", "ca", "jp", "global"})
AREA_FACTOR: Final = 1.1


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """USD per million tokens. What is not given: cached reads cost as input, cached writes too."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None

    def cost(self, usage: Usage) -> float:
        """USD of one call. Cached tokens are part of `input_tokens` and priced on their own."""
        read, write, hour = usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens
        plain = max(0, usage.input_tokens - read - write)
        total = plain * self.input + usage.output_tokens * self.output
        if read:
            total += read * (self.input if self.cache_read is None else self.cache_read)
        if write:
            price = self.input if self.cache_write is None else self.cache_write
            dear = price if self.cache_write_1h is None else self.cache_write_1h
            total += (write - hour) * price + hour * dear
        return total / MILLION


class ModelInfo(Struct, frozen=True, forbid_unknown_fields=True):
    """One model. `context` and `max_output` in tokens, None where the provider does not say."""

    price: Price | None = None
    context: int | None = None
    max_output: int | None = None
    images: bool = True
    tools: bool = True
    json_schema: bool = True
    embeds: bool = False
    as_of: str = ""
    source: str = ""


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    models: list[str]
    info: ModelInfo


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    model: list[_Entry]


@functools.cache
def catalog() -> dict[str, ModelInfo]:
    """Model name -> what is known, from the file beside this module."""
    parsed = msgspec.convert(tomllib.loads(CATALOG.read_text()), _File)
    return {name: entry.info for entry in parsed.model for name in entry.models}


@functools.lru_cache(4096)
def find(model: str) -> ModelInfo | None:
    """By exact name, else by the longest known name that `model` extends with a date or version.

    `claude-sonnet-4-5-20250929` is `claude-sonnet-4-5`; `gpt-5-mini` is not `gpt-5`. Of Bedrock's names also
    inference profiles (`eu.anthropic.…`) and their ARNs.
    """
    known = catalog()
    if model.startswith("arn:"):
        model = model.rpartition("/")[2]
    area, _, rest = model.partition(".")
    if area in AREAS and rest:
        return _of_area(find(rest), 1.0 if area == "global" else AREA_FACTOR)
    if model in known:
        return known[model]
    name = model
    while "-" in name or ":" in name or "@" in name:
        at = max(name.rfind("-"), name.rfind(":"), name.rfind("@"))
        name, suffix = name[:at], name[at + 1 :]
        if not (suffix.replace(".", "").isdigit() or suffix in ("latest", "preview") or suffix[:1] == "v"):
            return None
        if name in known:
            return known[name]
    return None


def list_price(model: str) -> Price | None:
    """What the catalog says of `model` or `provider/model`, for routers that know no prices."""
    info = find(model.rpartition("/")[2])
    return info.price if info is not None else None


def _of_area(info: ModelInfo | None, factor: float) -> ModelInfo | None:
    if info is None or info.price is None or factor == 1.0:
        return info
    given = structs.asdict(info.price)
    dearer = {name: round(usd * factor, 6) for name, usd in given.items() if usd is not None}
    return structs.replace(info, price=Price(**dearer))
