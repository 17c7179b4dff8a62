"""Python findings: ruff's rules (flake8-bandit, perflint, bugbear, pyflakes), under the names used here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import orjson

from service.agents.code.findings import Finding, Kind, Severity


@dataclass(frozen=True, slots=True)
class _Meaning:
    rule: str
    kind: Kind
    severity: Severity
    suggestion: str
    cwe: int = 0


# Longest code that matches wins, so a family may have exceptions. Docs: https://docs.astral.sh/ruff/rules/
_MEANINGS: Final[dict[str, _Meaning]] = {
    "S102": _Meaning("eval", "security", "high", "Call a function; never run text.", 95),
    "S307": _Meaning("eval", "security", "high", "Use ast.literal_eval or json.loads.", 95),
    "S105": _Meaning("hard-coded-secret", "security", "high", "Read it from the environment; rotate this one.", 798),
    "S106": _Meaning("hard-coded-secret", "security", "high", "Read it from the environment; rotate this one.", 798),
    "S107": _Meaning("hard-coded-secret", "security", "high", "Leave the default out.", 798),
    "S301": _Meaning("unsafe-deserialization", "security", "high", "Use JSON: pickle runs code.", 502),
    "S302": _Meaning("unsafe-deserialization", "security", "high", "Use JSON: marshal is not safe.", 502),
    "S506": _Meaning("unsafe-deserialization", "security", "high", "Use yaml.safe_load.", 502),
    "S324": _Meaning("weak-hash", "security", "medium", "Use SHA-256; for passwords scrypt or argon2.", 327),
    "S303": _Meaning("weak-hash", "security", "medium", "Use SHA-256.", 327),
    "S501": _Meaning("tls-verification-off", "security", "high", "Trust the right CA instead.", 295),
    "S323": _Meaning("tls-verification-off", "security", "high", "Use ssl.create_default_context().", 295),
    "S602": _Meaning("command-injection", "security", "high", "Pass a list and leave shell out.", 78),
    "S604": _Meaning("command-injection", "security", "high", "Leave shell out.", 78),
    "S605": _Meaning("command-injection", "security", "high", "Use subprocess.run with a list.", 78),
    "S608": _Meaning("sql-injection", "security", "high", "Pass the values as parameters.", 89),
    "S110": _Meaning("empty-catch", "smell", "medium", "Handle the error, or let it rise.", 390),
    "S112": _Meaning("empty-catch", "smell", "medium", "Handle the error, or let it rise.", 390),
    "S113": _Meaning("no-timeout", "security", "medium", "Set a timeout.", 400),
    "S": _Meaning("insecure-call", "security", "medium", "See the rule's page for the safe form.", 0),
    "PERF": _Meaning("slow-construct", "performance", "medium", "See the message for the faster form."),
    "E722": _Meaning("broad-catch", "smell", "medium", "Name the exceptions that you can handle.", 396),
    "BLE": _Meaning("broad-catch", "smell", "low", "Name the exceptions that you can handle.", 396),
    "E711": _Meaning("none-comparison", "smell", "low", "Use `is None`."),
    "B006": _Meaning("mutable-default", "smell", "high", "Use None and make it inside."),
    "B": _Meaning("likely-bug", "smell", "medium", "See the message."),
    "F": _Meaning("dead-code", "smell", "low", "Remove it, or use it."),
}  # fmt: skip

# Noise in a snippet: asserts, imports that the rest of the file uses, subprocess calls as such.
_IGNORED: Final = "S101,S311,S404,S603,S607,F401,F821,B018"


async def findings(code: str) -> list[Finding]:
    """What ruff says about `code`, which it reads from a pipe and never runs.

    Raises `OSError` when ruff cannot be started; cancelling ends its process.
    """
    process = await asyncio.create_subprocess_exec(
        _ruff(), "check", "--isolated", "--no-cache", "--quiet", "--exit-zero", "--output-format", "json",
        "--select", "S,PERF,E711,E722,BLE,B,F", "--ignore", _IGNORED, "--stdin-filename", "snippet.py", "-",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        output, _ = await process.communicate(code.encode("utf-8", "replace"))
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    found = []
    for row in orjson.loads(output or b"[]"):
        code_name = row.get("code") or ""
        meaning = _meaning(code_name)
        if meaning is not None:
            found.append(_finding(row, code_name, meaning))
    return found


def _meaning(code: str) -> _Meaning | None:
    for length in range(len(code), 0, -1):
        if code[:length] in _MEANINGS:
            return _MEANINGS[code[:length]]
    return None


def _finding(row: dict[str, Any], code: str, meaning: _Meaning) -> Finding:
    return Finding(
        meaning.rule, meaning.kind, meaning.severity, int(row["location"]["row"]),
        f"{row['message']} ({code})", meaning.suggestion, meaning.cwe,
    )  # fmt: skip


@cache
def _ruff() -> str:
    from ruff import find_ruff_bin  # type: ignore[import-untyped]

    path: str = find_ruff_bin()
    return path
