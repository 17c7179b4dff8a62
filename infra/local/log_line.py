"""Log lines of the local AWS API and load balancer: one JSON object a line on stderr."""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import Any


def log(message: str, **fields: Any) -> None:
    """Write one line; values that JSON does not know become strings. Never pass a secret."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": message, **fields}
    sys.stderr.write(json.dumps(line, default=str) + "\n")
    sys.stderr.flush()


def where(failed: BaseException) -> str:
    """What kind of error and in which line; not its text, which may quote a request's values."""
    frames = traceback.extract_tb(failed.__traceback__)
    place = f" in {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    reason = f" ({failed.strerror})" if isinstance(failed, OSError) else ""
    return f"{type(failed).__name__}{reason}{place}"
