"""A small system's last half hour, and the twenty minutes after it, written straight into a real Prometheus.

Green takes over from blue, one provider fails for a while, a backup and a drill have happened.
"""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from tests.monitoring import tool
from tests.parts import free_port, wait_until

STEP: Final = 15
PAST: Final = 120
POINTS: Final = PAST + 80
"""The twenty minutes that come are written, too: however long the tests take, it is still going on."""
ENVIRONMENT: Final = 'environment="local"'
Series = tuple[str, str, Callable[[int], float]]


def series(start: float) -> list[Series]:
    """Name, labels and value at each point."""
    found: list[Series] = []
    for index, colour in enumerate(("blue", "green")):
        here = f'{ENVIRONMENT},colour="{colour}",job="superagent",instance="127.0.0.{index}1:8001"'
        rate = 120 - 60 * index
        request = f'{here},method="POST",path="/v1/chat/completions"'
        found += [
            ("up", here, lambda _: 1),
            ("superagent_build_info", f'{here},version="v{index + 1}"', lambda _: 1),
            ("superagent_http_requests_in_flight", here, lambda at: 3 + at % 4),
            ("superagent_http_requests_total", f'{request},status="200"', lambda at, r=rate: r * at),
            ("superagent_http_requests_total", f'{request},status="500"', lambda at, i=index: at * i),
            ("process_start_time_seconds", here, lambda _: start),
            ("process_resident_memory_bytes", here, lambda at: 6e7 + 1e5 * at),
        ]
        for edge, share in (("0.5", 0.5), ("1.0", 0.9), ("5.0", 0.99), ("+Inf", 1.0)):
            bucket = "superagent_http_request_duration_seconds_bucket"
            value = rate * share
            found.append((bucket, f'{request},le="{edge}"', lambda at, v=value: v * at))
        for provider, down in (("claude", False), ("gemini", True)):
            of = f'{here},provider="{provider}"'
            found += [
                ("superagent_provider_health_status", of, lambda _, d=down: 0 if d else 1),
                ("superagent_provider_circuit_breaker_state", of, lambda at, d=down: int(d and at > 60)),
            ]
    tools = f'{ENVIRONMENT},job="node",instance="here"'
    found += [
        ("superagent_release_in_progress", tools, lambda at: int(at > 40)),
        ("superagent_release_weight", f'{tools},colour="blue"', lambda at: 100 if at < 40 else 75),
        ("superagent_release_weight", f'{tools},colour="green"', lambda at: 0 if at < 40 else 25),
        ("superagent_drill_last_result", tools, lambda _: 1),
        ("superagent_drill_last_success_timestamp_seconds", tools, lambda _: start),
        ("superagent_drill_rpo_seconds", tools, lambda _: 212),
        ("superagent_drill_rto_seconds", tools, lambda _: 14.25),
    ]
    return found


def open_metrics(start: float) -> str:
    """The samples as OpenMetrics text."""
    by_name: dict[str, list[str]] = {}
    for name, labels, value in series(start):
        lines = [f"{name}{{{labels}}} {value(at):g} {start + at * STEP:.0f}" for at in range(POINTS)]
        by_name.setdefault(name, []).extend(lines)
    blocks = [f"# TYPE {name} unknown\n" + "\n".join(lines) for name, lines in by_name.items()]
    return "\n".join(blocks) + "\n# EOF\n"


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """URL of a real Prometheus that holds the last half hour, and fires one alert."""
    binary, promtool = tool("prometheus"), tool("promtool")
    start = time.time() // STEP * STEP - PAST * STEP
    (folder / "data.om").write_text(open_metrics(start))
    blocks = [promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "data.om", folder / "data"]
    subprocess.run(blocks, check=True, capture_output=True)
    labels = {"severity": "high", "team": "platform", "environment": "local", "provider": "gemini"}
    notes = {"summary": "local: provider gemini is down", "description": "<img src=x onerror=alert(1)>"}
    rules = [
        {"alert": "SuperAgentProviderDown", "expr": "vector(1)", "labels": labels, "annotations": notes},
        {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none"}},
    ]
    group = {"name": "g", "interval": "1s", "rules": rules}
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    config = {"global": {"evaluation_interval": "1s"}, "rule_files": ["rules.yml"]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=1d",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: _ready(port), "Prometheus is ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _ready(port: int) -> bool:
    """It listens while it still reads its storage, and says 503 then."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as answer:
            ready: bool = answer.status == 200
            return ready
    except (urllib.error.URLError, OSError):
        return False
