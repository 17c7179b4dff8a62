"""Which rules hold for which language."""

from __future__ import annotations

from typing import Final

from service.agents.code.rules import c, go, java, javascript, rust
from service.agents.code.rules.rule import Rule

RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "c": c.RULES,
    "go": go.RULES,
    "java": java.RULES,
    "javascript": javascript.RULES,
    "rust": rust.RULES,
}
