"""Whether a part works, by asking the part itself. Each answer comes within a second or two."""

from __future__ import annotations

import http.client
import subprocess
import time
from pathlib import Path

from infra.local import parts, valkey
from infra.local.alb import REPORTED
from infra.local.layout import Layout
from infra.local.slots import ADDRESSES

SECONDS = 2.0
HTTP_PATHS = {
    "aws": "/moto-api/",
    "envoy": "/ready",
    "prometheus": "/-/ready",
    "alertmanager": "/-/ready",
    "node_exporter": "/",
    "postgres_exporter": "/",
    "redis_exporter": "/health",
    "blackbox_exporter": "/-/healthy",
    "console": "/api/dashboards",
}
ASKABLE = frozenset(
    ["postgres", "valkey", "alb", *HTTP_PATHS, *(f"{colour}-{n}" for colour in ADDRESSES for n in (1, 2))]
)
"""Parts that answer for themselves; of the others only the process can be seen (`process_problem`)."""
SILENCE_SECONDS = 15.0
"""The load balancer's controller reports every other second; this long without is no hiccup."""


def problem(part: str, place: Layout, ports: dict[str, int]) -> str:
    """Empty when the part does its work, else what is wrong in a few words."""
    if part == "postgres":
        return _postgres(ports["postgres"])
    if part == "valkey":
        return valkey.ping(place, ports["valkey"], SECONDS)
    if part == "alb":
        return _reports(place.conf / "alb" / REPORTED)
    if part in HTTP_PATHS:
        return http_problem("127.0.0.1", ports[part], HTTP_PATHS[part])
    if part == "api":
        return http_problem("127.0.0.1", ports["api"], "/health/ready")
    for colour, addresses in ADDRESSES.items():
        for number, address in enumerate(addresses, start=1):
            if part == f"{colour}-{number}":
                return http_problem(address, ports["service"], "/health/ready")
    return ""


def http_problem(host: str, port: int, path: str) -> str:
    """Empty for a 2xx answer."""
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(300).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as failed:
        return str(failed) or type(failed).__name__
    finally:
        connection.close()
    return "" if 200 <= answer.status < 300 else f"HTTP {answer.status} {body}".strip()


def process_problem(pid: int) -> str:
    """Empty for a process that lives and is not held (proc(5), state `T` or `Z`)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "its process is gone"
    return {"T": "its process is stopped by a signal", "t": "a debugger holds it", "Z": "it has ended"}.get(
        state, ""
    )


def _reports(beat: Path) -> str:
    try:
        silence = time.time() - beat.stat().st_mtime
    except OSError:
        return "it has not reported target health to the AWS API yet"
    return f"no report to the AWS API for {silence:.0f} s" if silence > SILENCE_SECONDS else ""


def _postgres(port: int) -> str:
    tool = parts.required("postgres").with_name("pg_isready")
    done = subprocess.run(
        [tool, "-h", "127.0.0.1", "-p", str(port), "-t", "2"], capture_output=True, text=True
    )
    return "" if done.returncode == 0 else done.stdout.strip().rpartition(" - ")[2] or "no answer"
