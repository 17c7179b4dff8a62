"""Which AWS call a request is, and whether it can change anything."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Final
from urllib.parse import parse_qs

SPOOL_BYTES: Final = 8 * 1024 * 1024
FORM_BYTES: Final = 1024 * 1024
READ_PREFIXES: Final = (
    "Describe", "Get", "List", "Head", "BatchGet", "TransactGet", "Lookup", "Search", "Filter", "Query",
    "Scan", "Estimate", "Validate",
)  # fmt: skip
READ_ACTIONS: Final = frozenset({
    "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
    "GenerateRandom", "ReEncrypt", "Sign", "Verify", "VerifyMac", "SimulatePrincipalPolicy",
    "SimulateCustomPolicy", "BatchCheckLayerAvailability", "BatchDescribeAlarms",
})  # fmt: skip
NOT_READS: Final = frozenset({"GetSessionToken", "GetFederationToken"})
ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]+)")
SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
SMITHY = re.compile(r"^/service/[^/]+/operation/([^/]+)$")


@dataclass(frozen=True, slots=True)
class Call:
    """`service` is the signing name (`elasticloadbalancing`), `action` is empty for REST calls."""

    service: str
    action: str
    protocol: str
    """How errors are written: `query`, `ec2`, `json` or `rest` (S3 and other XML)."""
    method: str

    @property
    def reads(self) -> bool:
        """Certain to change nothing. In doubt it is a write: that costs a comparison, not a lie."""
        if self.action:
            named = self.action.startswith(READ_PREFIXES) or self.action in READ_ACTIONS
            return named and self.action not in NOT_READS
        return self.method in ("GET", "HEAD", "OPTIONS")


def take_body(environ: dict[str, Any]) -> None:
    """Read the whole body now, so that a slow upload holds nobody up; large ones go to a temporary file."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    chunked = bool(environ.get("wsgi.input_terminated"))
    if not length and not chunked:
        return
    body = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  closed with the request
    source: IO[bytes] = environ["wsgi.input"]
    left = length
    while chunked or left > 0:
        block = source.read(min(left, 1 << 20) if not chunked else 1 << 20)
        if not block:
            break
        body.write(block)
        left -= len(block)
    body.seek(0)
    environ["wsgi.input"] = body


def identify(environ: dict[str, Any]) -> Call:
    """Name the call; `take_body` comes first."""
    method = environ["REQUEST_METHOD"]
    scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", "").replace("%2F", "/"))
    service = scope.group(1).lower() if scope else ""
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return Call(service, target.rpartition(".")[2], "json", method)
    smithy = SMITHY.match(environ.get("PATH_INFO", ""))
    if smithy:
        return Call(service, smithy.group(1), "json", method)
    protocol = "ec2" if service == "ec2" else "query"
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        found = ACTION.search(_peek(environ["wsgi.input"]))
        if found:
            return Call(service, found.group(1).decode(), protocol, method)
    named = parse_qs(environ.get("QUERY_STRING", "")).get("Action")
    if named and service != "s3":
        return Call(service, named[0], protocol, method)
    return Call(service, "", "rest", method)


def _peek(body: Any) -> bytes:
    data: bytes = body.read(FORM_BYTES)
    body.seek(0)
    return data
