"""The rules, one table a language; Python's come from ruff."""
