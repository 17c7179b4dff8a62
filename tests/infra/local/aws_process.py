"""The local AWS API as a process that a test may kill."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.parts import REGION, free_port, wait_until

ONE_TRY = Config(
    retries={"mode": "standard", "total_max_attempts": 1},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=50,
)


class AwsProcess:
    """`python -m infra.local.aws` on a port and a folder that stay the same across restarts."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self.log = data.parent / "aws.log"
        self._session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local")
        self._clients: dict[tuple[str, str], Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, preexec_fn: Callable[[], None] | None = None) -> None:
        command = [sys.executable, "-m", "infra.local.aws", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--data", str(self.data), "--allow-faults"],
                stdout=log,
                stderr=log,
                env={**os.environ, "MOTO_ACM_VALIDATION_WAIT": "0"},
                preexec_fn=preexec_fn,
            )
        wait_until(self.ready, "the AWS API answers", 30)

    def ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return bool(self.get("/moto-api/") == {"status": "ready"})
        except OSError:
            return False

    def kill(self) -> None:
        """As hard as it gets."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def kill_and_restart(self) -> None:
        self.kill()
        self.start()

    def empty(self) -> None:
        """As new: running, with nothing in it."""
        if self._process is None or self._process.poll() is not None:
            shutil.rmtree(self.data, ignore_errors=True)
            self.start()
        assert self.post("/moto-api/reset", {}) == 200
        self.log.write_text("")

    def client(self, service: str, region: str = REGION) -> Any:
        """A client that tries once; clients are made once per service and region, which takes a while."""
        if (service, region) not in self._clients:
            make: Any = self._session.client
            self._clients[service, region] = make(
                service, region_name=region, endpoint_url=self.endpoint, config=ONE_TRY
            )
        return self._clients[service, region]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.endpoint + path, timeout=40) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> int:
        """Status of a JSON POST."""
        request = urllib.request.Request(self.endpoint + path, json.dumps(body).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as failed:
            return failed.code

    def files(self) -> dict[str, tuple[int, int]]:
        """Every state file with its inode and time: equal before and after means that nothing was written."""
        return {
            str(path.relative_to(self.data)): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self.data.rglob("*")
            if path.is_file()
        }
