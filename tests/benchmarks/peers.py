"""The peers, each in an environment of its own; what cannot be had is said, never guessed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

from tests.benchmarks.cost import Row, once
from tests.benchmarks.processes import ROOT, Measured
from tests.benchmarks.report import Cost, Report
from tests.benchmarks.stack import Stack, chat
from tests.parts import free_port

LITELLM = "litellm[proxy]==1.106.0"
# Of later versions of its web server it gets answers whose headers it cannot change: every stream is a 500.
# Its websocket part brings such a one into a folder of its own, hence `overrides`.
PORTKEY = {
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"hono": "4.9.7", "@hono/node-server": "1.13.5"},
}


class Unobtainable(Exception):
    """Why a peer is not in the table."""


GOALS = {"litellm": 50.0, "portkey": 6.0}
NAMES = {"litellm": "LiteLLM", "portkey": "Portkey"}


def compare(name: str, stack: Stack, report: Report) -> None:
    """Rows of one peer, and how much less CPU the gateway needed in this run for the same requests."""
    home = ROOT / ".superagent" / "bench"
    home.mkdir(parents=True, exist_ok=True)
    try:
        if name == "litellm":
            process, key = litellm(home, stack.upstream.port)
            headers, count = "", 120
        else:
            process, headers = portkey(home, stack.upstream.port)
            key, count = "x", 900
    except Unobtainable as reason:
        report.claim("peers", NAMES[name], f"not in this run: {reason}", f"≥ {GOALS[name]:.0f} × less CPU")
        return
    stack.begin(process)
    for kind, title in (("plain", "not cacheable"), ("stream", "stream")):
        row = Row(f"{NAMES[name]}: {title}", process, chat(key, kind, headers), count)
        try:
            found = _measure(row, report)
        except SystemExit as failed:
            report.claim("peers", f"CPU beside {row.name}", str(failed))
            continue
        ours = report.cost(f"gateway: {title}")
        if ours is not None:
            times = found.median / ours.median
            goal, reached = f"≥ {GOALS[name]:.0f} ×", times >= GOALS[name]
            value = f"{found.median:,.0f} against {ours.median:.0f} µs: {times:.0f} × less"
            report.claim("peers", f"CPU beside {row.name}", value, goal, reached)
    process.stop()


def _measure(row: Row, report: Report) -> Cost:
    once(row, row.count // 3)
    found = Cost(row.name)
    for _ in range(2):
        cpu, result = once(row)
        found.cpu.append(cpu)
        found.rate, found.p50_ms = result.rate, result.percentile(0.5) * 1e3
        if result.events:
            found.per_event = found.median / (result.events / row.count)
    floor = report.costs[0].median
    found.times_floor = [cpu / floor for cpu in found.cpu]
    found.memory_mb = row.target.memory()
    report.costs.append(found)
    return found


def litellm(home: Path, upstream: int) -> tuple[Measured, str]:
    """LiteLLM's proxy with one worker: (process, key). Raises `Unobtainable`."""
    place = home / "litellm"
    binary = place / "bin" / "litellm"
    if not binary.exists():
        venv.create(place, with_pip=True)
        _run([str(place / "bin" / "pip"), "install", "-q", LITELLM], 600)
    config = home / "litellm.yaml"
    model = {
        "model_name": "bench",
        "litellm_params": {
            "model": "openai/bench",
            "api_base": f"http://127.0.0.1:{upstream}/v1",
            "api_key": "x",
        },
    }
    config.write_text(json.dumps({"model_list": [model], "general_settings": {"master_key": "sk-bench"}}))
    port = free_port()
    command = [
        str(binary),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    environ = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "PATH": f"{place}/bin:{os.environ['PATH']}",
    }
    try:
        return Measured(command, port, "/health/liveliness", environ, 120, home / "litellm.log"), "sk-bench"
    except (RuntimeError, OSError) as error:
        raise Unobtainable(f"it did not start ({error})") from None


def portkey(home: Path, upstream: int) -> tuple[Measured, str]:
    """Portkey's gateway on Node: (process, extra headers). Raises `Unobtainable`."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Unobtainable("npm is missing")
    place = home / "portkey"
    script = place / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    wanted, manifest = json.dumps(PORTKEY, indent=2), place / "package.json"
    if not script.exists() or manifest.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        manifest.write_text(wanted)
        _run(["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund"], 600)
    port = free_port()
    headers = f"x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:{upstream}/v1\r\n"
    try:
        measured = Measured(
            ["node", str(script), f"--port={port}", "--headless"], port, "/", None, 60, home / "portkey.log"
        )
    except (RuntimeError, OSError) as error:
        raise Unobtainable(f"it did not start ({error})") from None
    return measured, headers


def _run(command: list[str], seconds: float) -> None:
    try:
        subprocess.run(command, check=True, timeout=seconds, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unobtainable(
            f"`{Path(command[0]).name}` could not install it ({type(error).__name__})"
        ) from None
