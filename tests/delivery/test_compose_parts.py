"""The configuration of the composed system, read by the very programs it is for."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from cryptography import x509

from alerts.files import ROOT as ALERTS
from infra.home import CHECKOUT
from infra.local import parts
from infra.local.scrape import JOBS
from tests.delivery.compose import FOLDER, services
from tests.monitoring import tool
from tests.parts import free_port, port_open, wait_until
from tests.promql import exporters


def run(*words: Any, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **more)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate, made as the container `certs` makes it."""
    folder = tmp_path_factory.mktemp("certs")
    done = run(sys.executable, FOLDER / "certs.py", folder, "localhost", "127.0.0.1")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_certificate_names_its_hosts_and_the_key_is_its_owners_alone(certs: Path) -> None:
    made = x509.load_pem_x509_certificate((certs / "tls.crt").read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert made.not_valid_after_utc - datetime.now(UTC) > timedelta(days=80)
    assert (certs / "tls.key").stat().st_mode & 0o777 == 0o600


def test_a_certificate_that_lasts_is_kept_and_a_broken_one_replaced(certs: Path, tmp_path: Path) -> None:
    before = (certs / "tls.crt").read_bytes()
    assert "nothing was changed" in run(sys.executable, FOLDER / "certs.py", certs, "localhost").stdout
    assert (certs / "tls.crt").read_bytes() == before
    (tmp_path / "tls.crt").write_text("no certificate")
    assert run(sys.executable, FOLDER / "certs.py", tmp_path, "localhost").returncode == 0
    x509.load_pem_x509_certificate((tmp_path / "tls.crt").read_bytes())
    assert run(sys.executable, FOLDER / "certs.py", tmp_path).returncode == 2


def test_each_process_gets_a_journal_of_its_own(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); from pathlib import Path; import slot\n"
        f"print(slot.free_slot(Path({str(tmp_path)!r})).name)"
    )
    assert run(sys.executable, "-c", code).stdout == "slot-1\n"
    with (tmp_path / "slot-1" / "lock").open("a") as held:  # as service/storage/journal.py holds it
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(sys.executable, "-c", code).stdout == "slot-2\n"
    assert run(sys.executable, "-c", code).stdout == "slot-1\n"


def test_the_service_is_started_on_that_journal(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__main__.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps([os.environ['SUPERAGENT_JOURNAL_DIR'], 'JOURNALS' in os.environ, sys.argv[1:]]))\n"
    )
    done = run(
        sys.executable, FOLDER / "slot.py", "create-key", "--name", "admin",
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "JOURNALS": str(tmp_path / "journal")},
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found == [str(tmp_path / "journal" / "slot-1"), False, ["create-key", "--name", "admin"]]


class Service(BaseHTTPRequestHandler):
    """One process of the service: it can be told to be not ready."""

    ready = True

    def do_GET(self) -> None:
        ready = self.path != "/health/ready" or type(self).ready
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: Any) -> None:
        return


@dataclass
class Front:
    https: int
    http: int
    metrics: int
    admin: int
    certificate: Path

    def get(self, path: str, send: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("localhost", self.https, timeout=30, context=context)
        try:
            connection.request("GET", path, headers=send or {})
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def plain(self, port: int, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path, headers={"Host": "api.example.org"})
        return connection.getresponse()


@pytest.fixture(scope="module")
def front(certs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Envoy itself on compose/envoy.yaml, on free loopback ports, before one stand-in for the service."""
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=backend.serve_forever)
    thread.start()
    ports = {old: free_port() for old in (8443, 8080, 9902, 9901)}
    text = (FOLDER / "envoy.yaml").read_text()
    text = text.replace("address: 0.0.0.0", "address: 127.0.0.1").replace("/certs/", f"{certs}/")
    text = text.replace(
        "address: service, port_value: 8000", f"address: 127.0.0.1, port_value: {backend.server_port}"
    )
    for old, new in ports.items():
        text, count = re.subn(rf"port_value: {old}\b", f"port_value: {new}", text)
        assert count >= 1
    path = tmp_path_factory.mktemp("envoy") / "envoy.yaml"
    path.write_text(text)
    command = [parts.required("envoy"), "-c", path, "--use-dynamic-base-id", "--concurrency", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = Front(ports[8443], ports[8080], ports[9902], ports[9901], certs / "tls.crt")
    try:
        wait_until(lambda: port_open(found.https) and port_open(found.admin), "Envoy listens", 60)
        wait_until(lambda: found.get("/")[0] == 200, "the service is healthy", 60)
        yield found
    finally:
        process.terminate()
        process.wait(30)
        backend.shutdown()
        backend.server_close()
        thread.join()


def test_envoy_accepts_its_configuration(certs: Path, tmp_path: Path) -> None:
    path = tmp_path / "envoy.yaml"
    path.write_text((FOLDER / "envoy.yaml").read_text().replace("/certs/", f"{certs}/"))
    words = [parts.required("envoy"), "--mode", "validate", "-c", path, "--log-level", "error"]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    path.write_text(path.read_text().replace("lb_policy: LEAST_REQUEST", "lb_policy: BEST"))
    assert run(*words).returncode != 0


@pytest.mark.component
def test_clients_are_served_by_tls_and_their_address_goes_with_them(front: Front) -> None:
    status, headers, body = front.get("/v1/models", {"X-Forwarded-For": "203.0.113.6"})
    assert status == 200
    assert headers["strict-transport-security"] == "max-age=31536000"
    seen = {key.lower(): value for key, value in json.loads(body).items()}["x-forwarded-for"].split(",")
    # The service trusts one proxy: the last entry is Envoy's, whatever a client wrote before it.
    assert seen[0] == "203.0.113.6" and len(seen) == 2


@pytest.mark.component
def test_plain_http_is_sent_to_https(front: Front) -> None:
    answer = front.plain(front.http, "/v1/models?x=1")
    assert answer.status == 301
    assert answer.headers["location"] == "https://api.example.org/v1/models?x=1"


@pytest.mark.component
def test_metrics_are_shown_and_the_rest_of_the_admin_interface_is_not(front: Front) -> None:
    answer = front.plain(front.metrics, "/stats/prometheus")
    assert answer.status == 200
    assert b"envoy_cluster_upstream_rq" in answer.read()
    for path in ("/quitquitquit", "/config_dump", "/"):
        assert front.plain(front.metrics, path).status == 404


@pytest.mark.component
def test_the_health_check_of_the_container_tells_ready_from_gone(front: Front) -> None:
    _, *command = services()["envoy"]["healthcheck"]["test"]
    assert run(*(word.replace("9901", str(front.admin)) for word in command)).returncode == 0
    assert run(*(word.replace("9901", str(free_port())) for word in command)).returncode != 0


@pytest.mark.component
def test_a_process_that_is_not_ready_gets_no_request(front: Front) -> None:
    Service.ready = False
    try:
        wait_until(lambda: front.get("/v1/models")[0] == 503, "the process is left out", 60)
    finally:
        Service.ready = True
    wait_until(lambda: front.get("/v1/models")[0] == 200, "the process is back", 60)


@pytest.mark.component
def test_valkey_reads_its_configuration_and_wants_the_password(tmp_path: Path) -> None:
    assert run(sys.executable, FOLDER / "init.py", "--folder", tmp_path / "secrets").returncode == 0
    (tmp_path / "data").mkdir()
    port = free_port()
    text = (FOLDER / "valkey.conf").read_text()
    text = text.replace("/run/secrets", str(tmp_path / "secrets")).replace(
        "dir /data", f"dir {tmp_path}/data"
    )
    conf = tmp_path / "valkey.conf"
    conf.write_text(text.replace("bind 0.0.0.0", "bind 127.0.0.1") + f"port {port}\n")
    process = subprocess.Popen([parts.required("valkey"), conf], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: port_open(port), "Valkey listens", 60)
        password = (tmp_path / "secrets" / "valkey_password").read_text()
        with redis.Redis(port=port, password=password) as known, redis.Redis(port=port) as stranger:
            assert known.ping()
            assert "yes" in str(known.config_get("appendonly"))
            with pytest.raises(redis.AuthenticationError):
                stranger.ping()
    finally:
        process.terminate()
        process.wait(30)


def test_prometheus_accepts_its_configuration_with_the_rules(tmp_path: Path) -> None:
    text = (FOLDER / "prometheus.yml").read_text().replace("/etc/prometheus/rules", str(ALERTS / "rules"))
    (tmp_path / "prometheus.yml").write_text(text)
    done = run(tool("promtool"), "check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_the_jobs_and_labels_are_those_of_the_local_system() -> None:
    jobs = {
        one["job_name"]: one
        for one in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    }
    assert set(jobs) == {"superagent", "blackbox", *JOBS} - {"blackbox_exporter"}
    for name, job in jobs.items():
        fixed = {label for group in job.get("static_configs", []) for label in group["labels"]}
        fixed |= {rule["target_label"] for rule in job.get("relabel_configs", [])}
        assert {"environment", *exporters().get(name, {"target_labels": []})["target_labels"]} <= fixed, name


def test_every_target_is_a_service_of_the_file() -> None:
    text = (FOLDER / "prometheus.yml").read_text()
    for host in re.findall(r"['\[/]([a-z-]+):\d{4}", text):
        assert host in services(), host


def test_alertmanager_accepts_what_is_mounted_by_default() -> None:
    source = next(volume for volume in services()["alertmanager"]["volumes"] if "alertmanager.yml" in volume)
    done = run(tool("amtool"), "check-config", CHECKOUT / source.split(":")[0])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_blackbox_exporter_accepts_its_configuration() -> None:
    tool("promtool")  # fetches the packages where they can be had
    found = parts.find("blackbox_exporter")
    if found is None:
        pytest.skip("the blackbox exporter is not here")
    done = run(found.path, "--config.check", f"--config.file={FOLDER / 'blackbox.yml'}")
    assert done.returncode == 0, done.stderr


def test_the_shell_of_the_health_checks_is_sound(tmp_path: Path) -> None:
    assert shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name, one in services().items():
        test = one["healthcheck"].get("test", [])
        script = test[1] if test[:1] == ["CMD-SHELL"] else test[3] if test[1:3] == ["bash", "-c"] else ""
        if script:
            path = tmp_path / f"{name}.sh"
            path.write_text(f"#!/bin/bash\n{script}\n")
            done = run(Path(sys.executable).parent / "shellcheck", path)
            assert done.returncode == 0, done.stdout
