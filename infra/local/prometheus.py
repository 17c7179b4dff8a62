"""Prometheus, Alertmanager and the exporters of the local system; all optional (`infra/local/parts.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from infra.home import CHECKOUT
from infra.local import parts
from infra.local.layout import Layout, write
from infra.local.parts import Found
from infra.local.programs import Program

RULES: Final = CHECKOUT / "alerts" / "rules"
ALERTMANAGER: Final = CHECKOUT / "alerts" / "alertmanager" / "alertmanager.yml"
SCRAPE_SECONDS: Final = 5
EXPORTERS: Final = ("node_exporter", "postgres_exporter", "redis_exporter", "blackbox_exporter")


def configure(place: Layout, ports: dict[str, int]) -> None:
    """Write `conf/prometheus.yml` and, when no alert routing is in the checkout, one that tells nobody."""
    for folder in ("prometheus", "alertmanager"):
        (place.data / folder).mkdir(exist_ok=True)
    write(place.conf / "prometheus.yml", yaml.safe_dump(scrape_configuration(place, ports), sort_keys=False))
    quiet = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    write(place.conf / "alertmanager.yml", yaml.safe_dump(quiet, sort_keys=False))


def scrape_configuration(place: Layout, ports: dict[str, int]) -> dict[str, Any]:
    """Prometheus' configuration: the service's slots by file discovery, every part by its port."""

    def job(name: str, port: str, **more: Any) -> dict[str, Any]:
        labels = {"environment": "local"}
        targets = [{"targets": [f"127.0.0.1:{ports[port]}"], "labels": labels}]
        return {"job_name": name, "static_configs": targets, **more}

    probe = job("blackbox", "api")
    probe["static_configs"][0]["targets"] = [f"http://127.0.0.1:{ports['api']}/health/ready"]
    probe |= {
        "metrics_path": "/probe",
        "params": {"module": ["http_2xx"]},
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": f"127.0.0.1:{ports['blackbox_exporter']}"},
        ],
    }
    alertmanagers = [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(RULES / "*.yml")],
        "alerting": {"alertmanagers": alertmanagers},
        "scrape_configs": [
            {"job_name": "superagent", "file_sd_configs": [{"files": [str(place.targets / "*.json")]}]},
            job("envoy", "envoy", metrics_path="/stats/prometheus"),
            job("prometheus", "prometheus"),
            job("alertmanager", "alertmanager"),
            job("node", "node_exporter"),
            job("postgres", "postgres_exporter"),
            job("redis", "redis_exporter"),
            probe,
        ],
    }


def programs(place: Layout, ports: dict[str, int]) -> list[Program]:
    """The programs of those parts that are on this machine."""
    found = []
    for name, arguments, environment in _commands(place, ports):
        binary = parts.find(name)
        if binary is not None:
            command = (*_prefix(name, binary), str(binary.path), *arguments(binary))
            found.append(Program(name, command, place.data, environment))
    return found


def _commands(place: Layout, ports: dict[str, int]) -> list[tuple[str, Any, dict[str, str]]]:
    def listen(name: str, option: str = "--web.listen-address") -> str:
        return f"{option}=127.0.0.1:{ports[name]}"

    routing = ALERTMANAGER if ALERTMANAGER.exists() else place.conf / "alertmanager.yml"
    exporter_secret = str(place.secret("redis_exporter.json"))
    return [
        (
            "prometheus",
            lambda binary: [
                f"--config.file={place.conf / 'prometheus.yml'}",
                f"--storage.tsdb.path={place.data / 'prometheus'}",
                "--storage.tsdb.retention.time=15d",
                listen("prometheus"),
                *_assets(binary.path),
            ],
            {},
        ),
        (
            "alertmanager",
            lambda _: [
                f"--config.file={routing}",
                f"--storage.path={place.data / 'alertmanager'}",
                "--cluster.listen-address=",
                listen("alertmanager"),
            ],
            {},
        ),
        (
            "node_exporter",
            lambda _: [f"--collector.textfile.directory={place.metrics}", listen("node_exporter")],
            {},
        ),
        (
            "postgres_exporter",
            # Its bgwriter query is for servers up to 16 (prometheus-community/postgres_exporter).
            lambda _: [listen("postgres_exporter"), "--no-collector.bgwriter"],
            {
                "DATA_SOURCE_URI": f"127.0.0.1:{ports['postgres']}/postgres?sslmode=disable",
                "DATA_SOURCE_USER": "postgres",
                "DATA_SOURCE_PASS_FILE": str(place.secret("postgres_password")),
            },
        ),
        (
            "redis_exporter",
            lambda _: [listen("redis_exporter"), f"--redis.password-file={exporter_secret}"],
            {"REDIS_ADDR": f"redis://127.0.0.1:{ports['valkey']}"},
        ),
        (
            "blackbox_exporter",
            lambda _: [listen("blackbox_exporter"), f"--config.file={place.conf / 'blackbox.yml'}"],
            {},
        ),
    ]


def _prefix(name: str, binary: Found) -> tuple[str, ...]:
    """Debian's Alertmanager reads its template below /usr/share only: unpacked elsewhere, it gets its own.

    A private mount namespace shows the package's share folder in that place, to this process alone.
    """
    if name != "alertmanager" or binary.origin != "package":
        return ()
    share = binary.path.parents[1] / "share"
    script = 'mount --bind "$0" /usr/share && exec "$@"'
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(share))


def _assets(binary: Path) -> list[str]:
    """An unpacked Debian package has its pages beside it; an installed one knows where they are."""
    local = binary.parents[1] / "share" / "prometheus" / "web"
    return [f"--web.local-assets={local}"] if local.exists() and local.parts[1] != "usr" else []
