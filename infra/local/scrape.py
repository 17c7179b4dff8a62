"""What the local Prometheus scrapes and whom the local Alertmanager tells. Pure: ports in, documents out.

The labels are a contract (docs/observability.md): every target has `environment`, the service's also
`colour` and `slot`, probes `probe`. Dashboards and alerts select by them, in AWS as here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from infra.home import CHECKOUT

RULES: Final = CHECKOUT / "alerts" / "rules"
ROUTING: Final = CHECKOUT / "alerts" / "alertmanager" / "local.yml"
SCRAPE_SECONDS: Final = 5
LOCAL: Final = {"environment": "local"}

# probe -> (name of the port, path): `front` is what clients use, `test` what smoke tests use.
PROBES: Final = {"front": ("api", "/health/ready"), "prometheus": ("prometheus", "/-/ready")}

# job -> name of the port; each is scraped at /metrics unless PATHS says otherwise.
JOBS: Final = {
    "envoy": "envoy",
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
    "node": "node_exporter",
    "postgres": "postgres_exporter",
    "redis": "redis_exporter",
    "blackbox_exporter": "blackbox_exporter",
}
PATHS: Final = {"envoy": "/stats/prometheus"}
OWN_LABELS: Final = ("superagent", "node")
"""Jobs whose metrics name their environment and colour themselves; the scrape must not rename those."""


def prometheus(ports: dict[str, int], targets: Path) -> dict[str, Any]:
    """Prometheus' configuration: the service's slots by file discovery, every part by its port."""
    service = {"job_name": "superagent", "file_sd_configs": [{"files": [str(targets / "*.json")]}]}
    alertmanagers = [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(RULES / "*.yml")],
        "alerting": {"alertmanagers": alertmanagers},
        "scrape_configs": [
            {**service, "honor_labels": True},
            *(_job(job, ports[port]) for job, port in JOBS.items()),
            _probes(ports),
        ],
    }


def alertmanager(webhook: str | None) -> dict[str, Any]:
    """The committed routes; every receiver is `webhook` when there is one, else nobody is told."""
    document: dict[str, Any] = yaml.safe_load(ROUTING.read_text())
    if webhook:
        for receiver in document["receivers"]:
            receiver["webhook_configs"] = [{"url": webhook, "send_resolved": True}]
    return document


def _job(name: str, port: int) -> dict[str, Any]:
    job: dict[str, Any] = {
        "job_name": name,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": LOCAL}],
    }
    if name in PATHS:
        job["metrics_path"] = PATHS[name]
    if name in OWN_LABELS:
        job["honor_labels"] = True
    return job


def _probes(ports: dict[str, int]) -> dict[str, Any]:
    return {
        "job_name": "blackbox",
        "metrics_path": "/probe",
        "params": {"module": ["http_2xx"]},
        "static_configs": [
            {"targets": [f"http://127.0.0.1:{ports[port]}{path}"], "labels": {**LOCAL, "probe": probe}}
            for probe, (port, path) in PROBES.items()
        ],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": f"127.0.0.1:{ports['blackbox_exporter']}"},
        ],
    }
