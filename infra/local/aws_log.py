"""Log lines of the local AWS API and load balancer: one JSON object a line on stderr."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def log(message: str, **fields: Any) -> None:
    """Write one line; values that JSON does not know become strings. Never pass a secret."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": message, **fields}
    sys.stderr.write(json.dumps(line, default=str) + "\n")
    sys.stderr.flush()
