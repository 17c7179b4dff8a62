"""Facts from the front door, as a client meets it."""

from __future__ import annotations

import http.client
import socket
import ssl
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from infra.errors import OperationFailed

SECONDS: Final = 10.0
PATH: Final = "/v1/models"
"""Wants a key, costs nothing, and changes nothing."""


def status(url: str, context: ssl.SSLContext | None = None) -> int:
    """Status of the answer to a request without a key. Raises `OSError` when there is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=SECONDS, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=SECONDS)
    )
    try:
        connection.request("GET", PATH, headers={"User-Agent": "superagent-check"})
        return connection.getresponse().status
    except http.client.HTTPException as failed:
        raise OperationFailed(f"{url} does not speak HTTP: {type(failed).__name__}") from None
    finally:
        connection.close()


def certificate_ends(url: str, context: ssl.SSLContext | None = None) -> datetime | None:
    """When the certificate that a client is shown ends; `None` for plain HTTP.

    Raises `OperationFailed` for one that a client would refuse (`ssl.SSLCertVerificationError` says why).
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    host, port = parts.hostname or "", parts.port or 443
    wrap = context or ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), SECONDS) as plain,
            wrap.wrap_socket(plain, server_hostname=host) as secure,
        ):
            shown = secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as refused:
        raise OperationFailed(f"clients refuse the certificate of {host}: {refused.verify_message}") from None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
