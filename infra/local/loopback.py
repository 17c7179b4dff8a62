"""JSON over HTTP to the parts on this machine, past any proxy that the environment names."""

from __future__ import annotations

import http.client
import json
from typing import Any


def call(port: int, method: str, path: str, body: Any = None, seconds: float = 5.0) -> Any:
    """The JSON answer of `http://127.0.0.1:<port><path>`.

    Raises `OSError` when nobody answers within `seconds` or the status is not 200, `ValueError` for other
    than JSON.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
    except http.client.HTTPException as failed:
        raise OSError(f"port {port}: {failed!r}") from failed
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"port {port}: {method} {path} answered {answer.status}: {text[:200]!r}")
    return json.loads(text)
