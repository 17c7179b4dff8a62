"""Tells people and dashboards about every transition: SNS, Grafana, metrics. Never stops a release."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from prometheus_client import CollectorRegistry

from infra.metrics import publish
from infra.release.clock import Clock
from infra.release.secret_file import one_line
from infra.release.state import RETREAT, Phase, Run
from infra.release.telemetry import Ledger, register
from infra.release.typed import typed

_BAD = RETREAT | {Phase.ABORTED, Phase.FAILED, Phase.REFUSED, Phase.PAUSED}


def title(run: Run) -> str:
    """One line for a phone: what, where, how it stands."""
    share = f" at {run.weight} %" if not run.ended and run.weight else ""
    return f"{run.environment}: {run.kind} of {run.version} to {run.new} {run.phase}{share}"


@dataclass(slots=True)
class Announcements:
    """All channels of one environment; a channel that fails is named on `warn` and skipped."""

    sns: Any
    topic_arn: str
    ledger: Ledger
    metrics_folder: Path
    clock: Clock
    warn: Callable[[str], None]
    grafana: GrafanaAnnotations | None = None

    def announce(self, run: Run) -> None:
        """Send one transition everywhere."""
        channels: tuple[tuple[str, Callable[[Run], None]], ...] = (
            ("metrics", self._metrics),
            ("SNS", self._publish),
            ("Grafana", self._annotate),
        )
        for name, send in channels:
            try:
                send(run)
            except (OSError, ValueError, http.client.HTTPException, BotoCoreError, ClientError) as failed:
                self.warn(f"{name} did not take the announcement of {run.phase}: {failed}")

    def _publish(self, run: Run) -> None:
        if not self.topic_arn:
            return
        # AWS Chatbot (Amazon Q Developer in chat applications), custom notification schema 1.0.
        message = {
            "version": "1.0",
            "source": "custom",
            "content": {
                "textType": "client-markdown",
                "title": f"{'⚠️' if run.phase in _BAD else '🚀'} {title(run)}",
                "description": run.reason or f"{run.old} {100 - run.weight} % · {run.new} {run.weight} %",
                "nextSteps": _next_steps(run),
            },
            "metadata": {
                "threadId": run.run_id,
                "summary": title(run),
                "additionalContext": {"run": run.run_id, "phase": str(run.phase), "reason": run.reason},
            },
        }
        self.sns.publish(TopicArn=self.topic_arn, Subject=title(run)[:100], Message=json.dumps(message))

    def _annotate(self, run: Run) -> None:
        if self.grafana is not None:
            self.grafana.add(run, self.clock.now())

    def _metrics(self, run: Run) -> None:
        registry = CollectorRegistry()
        register(registry, run.environment, run, self.ledger.count(run))
        publish(registry, self.metrics_folder, "release")


@dataclass(frozen=True, slots=True)
class GrafanaAnnotations:
    """Marks on dashboards: `SUPERAGENT_GRAFANA_URL` and a token file say where."""

    url: str
    token_file: Path
    """Read for each mark: nothing about marks may stand in the way of a verb."""

    @classmethod
    def from_environment(cls) -> GrafanaAnnotations | None:
        """Configured by `SUPERAGENT_GRAFANA_URL` and `SUPERAGENT_GRAFANA_TOKEN_FILE`; `None` without them."""
        url, path = os.environ.get("SUPERAGENT_GRAFANA_URL"), os.environ.get("SUPERAGENT_GRAFANA_TOKEN_FILE")
        if not url or not path:
            return None
        return cls(url, Path(path))

    def add(self, run: Run, now: float) -> None:
        """Raises `OSError`, `ValueError` or `HTTPException` when Grafana does not take it."""
        token = one_line(self.token_file)
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=5)
        text = f"{title(run)}{': ' + run.reason if run.reason else ''}"
        body = {
            "time": int(now * 1000),
            "tags": ["release", run.environment, run.new, str(run.phase)],
            "text": text,
        }
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", f"{parts.path.rstrip('/')}/api/annotations", json.dumps(body), headers)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status >= 300:
            raise ValueError(f"it answered {status}")


def _next_steps(run: Run) -> list[str]:
    def line(verb: str) -> str:
        return f"`{typed(verb, run.environment)}`"

    if run.phase is Phase.PAUSED:
        return [line("resume"), line("abort")]
    if run.phase is Phase.FAILED:
        return [f"{line(f'history {run.run_id}')}, then docs/operations/release.md"]
    return [line("status")]
