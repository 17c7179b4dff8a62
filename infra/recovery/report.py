"""The report of a drill: JSON for machines, Markdown for people, one signature over both.

The signature is an HMAC-SHA-256: made by a KMS key in AWS (`kms:GenerateMac`, the key never leaves KMS), by a
key file of this checkout locally. It shows that a report is the tool's and unchanged, not who ran it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError

from infra.errors import OperationFailed, UserError
from infra.local.layout import write

SIZE: Final = 32
"""Bytes of an HMAC-SHA-256."""
Mac = Callable[[bytes], bytes]


@dataclass(slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    told: str


@dataclass(slots=True)
class Report:
    """What a drill did and found."""

    environment: str
    backup: str
    snapshot_at: str
    started_at: str
    rpo_seconds: float | None
    """Age of the restored data when the drill began: what a disaster at that moment would have lost. None
    when no backup could be read.
    """
    rto_seconds: float | None
    """From the start of the drill to a service that answered on the restored data; None when none did."""
    restore_seconds: float
    rows: int
    bytes: int
    machine: str
    tool_version: str
    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


def document(report: Report) -> dict[str, Any]:
    return {**asdict(report), "passed": report.passed}


def markdown(report: Report) -> str:
    """The report as a page (pure)."""
    lines = [
        f"# Restore drill of {report.environment}: {'passed' if report.passed else 'FAILED'}",
        "",
        f"Backup `{report.backup}`, data as of {report.snapshot_at or 'an unknown time'}, "
        f"{report.rows:,} rows, {report.bytes:,} bytes stored. "
        f"Started {report.started_at} on {report.machine}, tool {report.tool_version}.",
        "",
        "| | seconds |",
        "|---|---|",
        f"| RPO: data older than the drill by | {_seconds(report.rpo_seconds)} |",
        f"| RTO: until a service answered on it | {_seconds(report.rto_seconds)} |",
        f"| of which restoring and comparing | {report.restore_seconds:,.1f} |",
        "",
        "| Check | Result | |",
        "|---|---|---|",
        *(f"| {one.name} | {'ok' if one.passed else 'FAILED'} | {one.told} |" for one in report.checks),
        "",
    ]
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.1f}"


def signed(report: Report, mac: Mac, by: str) -> dict[str, Any]:
    """The JSON document with the Markdown inside and a signature over everything else."""
    body = {**document(report), "markdown": markdown(report), "signed_by": by}
    return {**body, "signature": base64.b64encode(mac(_canonical(body))).decode()}


def genuine(found: dict[str, Any], check: Callable[[bytes, bytes], bool]) -> bool:
    """Whether a report is what was signed."""
    body = {key: value for key, value in found.items() if key != "signature"}
    try:
        signature = base64.b64decode(found["signature"], validate=True)
    except (KeyError, ValueError, TypeError):
        return False
    return check(_canonical(body), signature)


def _canonical(body: dict[str, Any]) -> bytes:
    """A digest of the document: KMS signs at most 4,096 bytes."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).digest()


def file_key(path: Path) -> bytes:
    """The checkout's signing key; made on first use."""
    if not path.exists():
        write(path, secrets.token_hex(32), 0o600)
    return bytes.fromhex(path.read_text().strip())


def file_mac(path: Path) -> tuple[Mac, Callable[[bytes, bytes], bool]]:
    """Sign and check with a key file."""

    def mac(data: bytes) -> bytes:
        return hmac.digest(file_key(path), data, "sha256")

    def check(data: bytes, signature: bytes) -> bool:
        # A check makes no key: one that is not there has signed nothing.
        return path.exists() and hmac.compare_digest(mac(data), signature)

    return mac, check


def kms_mac(kms: Any, key: str) -> tuple[Mac, Callable[[bytes, bytes], bool]]:
    """Sign and check with an HMAC key in KMS."""

    def mac(data: bytes) -> bytes:
        try:
            made: bytes = kms.generate_mac(Message=data, KeyId=key, MacAlgorithm="HMAC_SHA_256")["Mac"]
        except kms.exceptions.ClientError as refused:
            raise UserError(
                f"KMS does not sign with {key}: {refused.response['Error']['Code']}.",
                "Name an HMAC_256 key and allow kms:GenerateMac.",
            ) from None
        return made

    def check(data: bytes, signature: bytes) -> bool:
        if len(signature) != SIZE:
            return False  # KMS calls some of these a wrong request, as if it had not looked
        try:
            answer = kms.verify_mac(Message=data, KeyId=key, MacAlgorithm="HMAC_SHA_256", Mac=signature)
        except kms.exceptions.KMSInvalidMacException:
            return False
        except (kms.exceptions.ClientError, BotoCoreError) as failed:
            # Not the report's fault: nothing is known about it.
            raise OperationFailed(f"KMS does not check with {key}: {type(failed).__name__}.") from None
        return bool(answer["MacValid"])

    return mac, check
