"""How a verb is typed, so that a line that is copied from a message acts on the environment it is about."""

from __future__ import annotations


def typed(verb: str, environment: str) -> str:
    """`superagent release VERB`, with the stack where it is not the default one."""
    stack = "" if environment == "local" else f" --stack {environment}"
    return f"superagent release {verb}{stack}"
