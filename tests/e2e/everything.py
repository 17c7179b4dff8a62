"""All that people do with a system, once; and whether every dashboard then has something to show."""

from __future__ import annotations

import math
import time

from tests.dashboards.test_dashboards import expressions
from tests.e2e.breakable import Broken
from tests.e2e.pour import completion
from tests.parts import wait_until

CODE = "Please review this:\n```python\nimport os\nos.system('rm ' + name)\n```"
DEBATE = {"participants": [{"model": "both"}, {"model": "both"}], "rounds": 1}


def everything_once(broken: Broken) -> None:
    """What people do, in every way that some panel shows."""
    again = [completion("say it again"), completion("say it again")]
    streams = [completion(text, stream=True) for text in broken.fresh(4)]
    broken.pour(again + streams, connections=2)
    (topic,) = broken.fresh(1, "debate")
    broken.pour([{**DEBATE, "topic": topic}], path="/v1/debates")
    broken.pour([{"message": CODE}], path="/chat")
    done = time.time()
    looked = 'min(timestamp(up{job="superagent"}))'
    wait_until(lambda: broken.number(looked) > done, "the processes were scraped after that")


def silent(broken: Broken, since: float) -> list[str]:
    """Expressions without a number: now, or for marks on the time axis since the beginning."""
    found = []
    for where, expr in expressions():
        marks = "ALERTS" in expr or "transitions_total" in expr
        span = {"start": since, "end": time.time(), "step": 2} if marks else {}
        values = [
            float(value)
            for one in broken.query(expr, **span)
            for _, value in (one["values"] if marks else [one["value"]])
        ]
        if all(math.isnan(value) for value in values):
            found.append(f"{where}: {expr}")
    return found
