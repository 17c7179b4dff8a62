"""How good ordinary answers look, cheaply and after the fact (docs/quality.md)."""
