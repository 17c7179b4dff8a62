"""Prometheus, Alertmanager and the exporters of the local system; all optional (`infra/local/parts.py`)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from infra.local import parts, scrape
from infra.local.layout import Layout, write
from infra.local.parts import Found
from infra.local.programs import Program

EXPORTERS: Final = ("node_exporter", "postgres_exporter", "redis_exporter", "blackbox_exporter")


def configure(place: Layout, ports: dict[str, int]) -> None:
    """Write the configuration of Prometheus and Alertmanager.

    `SUPERAGENT_ALERT_WEBHOOK` names a URL that hears every alert; without it they are only shown.
    """
    for folder in ("prometheus", "alertmanager"):
        (place.data / folder).mkdir(exist_ok=True)
    webhook = os.environ.get("SUPERAGENT_ALERT_WEBHOOK")
    documents = {
        "prometheus.yml": scrape.prometheus(ports, place.targets),
        "alertmanager.yml": scrape.alertmanager(webhook),
    }
    for name, document in documents.items():
        write(place.conf / name, yaml.safe_dump(document, sort_keys=False))


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

    exporter_secret = str(place.secret("redis_exporter.json"))
    return [
        (
            "prometheus",
            lambda binary: [
                f"--config.file={place.conf / 'prometheus.yml'}",
                f"--storage.tsdb.path={place.data / 'prometheus'}",
                "--storage.tsdb.retention.time=15d",
                # It finds Alertmanager seconds after a start or reload; what fired before is told with the
                # next repeat, which by default comes after a minute.
                "--rules.alert.resend-delay=10s",
                listen("prometheus"),
                *_assets(binary.path),
            ],
            {},
        ),
        (
            "alertmanager",
            lambda _: [
                f"--config.file={place.conf / 'alertmanager.yml'}",
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
    own: tuple[str, ...] = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*own, "true"], capture_output=True).returncode:
        own = ("unshare", "--mount")  # user namespaces are off: root may do it without
    return (*own, "sh", "-c", script, str(share))


def _assets(binary: Path) -> list[str]:
    """An unpacked Debian package has its pages beside it; an installed one knows where they are."""
    local = binary.parents[1] / "share" / "prometheus" / "web"
    return [f"--web.local-assets={local}"] if local.exists() and local.parts[1] != "usr" else []
