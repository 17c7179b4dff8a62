"""What a round may cost before it is begun."""

from __future__ import annotations

from service.debates import prompts
from service.debates.calls import Calls
from service.debates.spec import Debater, Spec, Steps
from service.providers.base import Usage
from service.providers.tokens import estimate_text


def round_cost(spec: Spec, calls: Calls, steps: Steps, number: int, due: list[Debater]) -> float:
    """The most that a round may cost, its judge included."""
    total = 0.0
    for debater in due:
        request = prompts.turn(spec, debater, number, steps)
        total += max([calls.estimate(target, request) for target in debater.targets])
    if spec.judge:
        read = estimate_text(spec.question) + len(due) * spec.max_tokens
        total += calls.price(spec.judge, Usage(read, spec.max_tokens))
    return total
