"""Clients of an environment: the local system's own endpoint is reached directly, proxy or not."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from infra.errors import UserError
from infra.home import CHECKOUT
from infra.stack import environment
from infra.stack.environment import Environment, client_config
from infra.stack.outputs import StackOutputs
from tests.parts import free_port

OUTPUTS = StackOutputs(
    environment="local",
    region="eu-central-1",
    compute="local",
    vpc_id="",
    alb_arn="",
    alb_dns_name="",
    listener_arn="",
    test_listener_arn="",
    target_group_arns={},
    image_parameters={},
    release_table="",
    backup_bucket="",
    database_pointer="",
    alert_topic_arn="",
)


class Parameters(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"Parameter": {"Name": "/a", "Value": "reached"}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Parameters)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_proxy_of_the_machine_never_gets_calls_for_the_local_system(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    found = Environment(OUTPUTS, endpoint).client("ssm").get_parameter(Name="/a")
    assert found["Parameter"]["Value"] == "reached"


def test_bytes_for_s3_are_hashed_once_on_either_way() -> None:
    sent: dict[str, dict[str, Any]] = {}
    for name, endpoint in (("local", "http://127.0.0.1:1"), ("aws", None)):
        session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-central-1")
        client = session.client("s3", endpoint_url=endpoint, config=client_config(endpoint))

        def answer(request: Any, name: str = name, **_: Any) -> AWSResponse:
            sent[name] = dict(request.headers)
            return AWSResponse(request.url, 200, {}, SimpleNamespace(stream=lambda: iter(())))

        client.meta.events.register("before-send", answer)
        client.put_object(Bucket="bucket", Key="key", Body=b"x")
    for name, headers in sent.items():
        assert b"UNSIGNED-PAYLOAD" in headers["X-Amz-Content-SHA256"], name
        assert "x-amz-checksum-crc32" in headers or headers["X-Amz-Trailer"] == b"x-amz-checksum-crc32", name


def test_in_aws_the_proxy_of_the_machine_holds() -> None:
    assert vars(client_config(None))["proxies"] is None


def pulumi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CLI of this name on the path."""
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv(environment.OUTPUTS_FILE, raising=False)


def test_a_pulumi_that_hangs_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi(tmp_path, "exec sleep 60", monkeypatch)
    monkeypatch.setattr(environment, "PULUMI_SECONDS", 0.2)
    with pytest.raises(UserError, match="did not tell the outputs of stack 'prod'"):
        environment.load("prod")


def test_pulumi_is_asked_where_its_project_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool runs from any folder; Pulumi finds its project in the current one alone, and asks nobody."""
    pulumi(tmp_path, "pwd >&2; cat >&2; exit 1", monkeypatch)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"could not read stack 'prod': {CHECKOUT} Check")):
        environment.load("prod")
