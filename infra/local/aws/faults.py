"""Failures on order, for tests: throttling, errors before or after the effect, delay (`--allow-faults`)."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any, Literal

from infra.local.aws.request import Call

USAGE = (
    'POST {"action": "ModifyListener", "error": "Throttling", "count": 3, "delay_seconds": 0, '
    '"when": "before"}; when "after", the call takes effect and only its answer is lost'
)


@dataclass(slots=True)
class Fault:
    """The next `left` calls of `action` fail."""

    action: str
    """API action such as `ModifyListener`; for S3 and other REST services the HTTP method."""
    error: str | None
    """Error code that the client sees; `None` only delays."""
    left: int
    delay_seconds: float
    when: Literal["before", "after"]


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, body: Any) -> None:
        """Add one. Raises `ValueError` that says what is wrong."""
        if not isinstance(body, dict) or not isinstance(body.get("action"), str):
            raise ValueError(f"action is missing. {USAGE}")
        unknown = set(body) - {"action", "error", "count", "delay_seconds", "when"}
        if unknown:
            raise ValueError(f"unknown field {', '.join(sorted(unknown))}. {USAGE}")
        when = body.get("when", "before")
        if when not in ("before", "after"):
            raise ValueError(f"when is {when!r}. {USAGE}")
        count, delay = body.get("count", 1), body.get("delay_seconds", 0)
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"count is {count!r}; 1 or more is needed. {USAGE}")
        if not isinstance(delay, int | float) or not 0 <= delay <= 60:
            raise ValueError(f"delay_seconds is {delay!r}; 0 to 60 is possible. {USAGE}")
        fault = Fault(body["action"], body.get("error"), count, float(delay), when)
        with self._lock:
            self._faults.append(fault)

    def take(self, call: Call) -> Fault | None:
        """The fault that hits this call, used up by one."""
        with self._lock:
            for fault in self._faults:
                if fault.action == (call.action or call.method):
                    fault.left -= 1
                    if fault.left == 0:
                        self._faults.remove(fault)
                    return fault
        return None

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()


def error_answer(call: Call, code: str, message: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body of an AWS error in the protocol of `call`."""
    status = _status(call, code)
    if call.protocol == "json":
        body = json.dumps({"__type": code, "message": message}).encode()
        return status, [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", code)], body
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if call.protocol == "ec2":
        error = f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>"
    elif call.protocol == "query":
        error = f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"
    return status, [("Content-Type", "text/xml"), ("x-amzn-ErrorType", code)], error.encode()


def _status(call: Call, code: str) -> str:
    if code.startswith("Internal"):
        return "500 Internal Server Error"
    if code in ("ServiceUnavailable", "SlowDown"):
        return "503 Service Unavailable"
    return "400 Bad Request"
