"""What is seen is what is there; what cannot be seen says why."""

from __future__ import annotations

import dataclasses
import json
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra.check import collect, front, here, live, measured
from infra.check.collect import look
from infra.check.facts import Missing
from infra.check.program import program
from infra.errors import OperationFailed, UserError
from infra.local.layout import Layout
from infra.policy.model import Resource
from infra.preview.estate import Recorded
from infra.recovery import report, signing
from infra.recovery.context import Context
from infra.recovery.report import Check
from infra.recovery.store import Store
from infra.release.source_prometheus import Prometheus
from infra.stack.environment import Environment
from infra.stack.outputs import StackOutputs
from tests.infra.recovery.test_facts import REPORT
from tests.parts import REGION

UP = [("superagent", "1"), ("superagent", "0"), ("node", "1")]


class Handler(BaseHTTPRequestHandler):
    """A front door that wants a key, and a Prometheus behind the same port."""

    alerts: tuple[str, ...] = ("Watchdog", "SuperAgentServiceDown")

    def do_GET(self) -> None:
        self.send_response(200 if "Authorization" in self.headers else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        query = parse_qs(text)["query"][0]
        found: list[dict[str, Any]] = []
        if query.startswith("up"):
            found = [{"metric": {"job": job}, "value": [0, value]} for job, value in UP]
        elif "Watchdog" in query or "ALERTS" in query:
            names = [name for name in self.alerts if ("Watchdog" in query) == (name == "Watchdog")]
            found = [{"metric": {"alertname": name}, "value": [0, "1"]} for name in names]
        body = json.dumps({"status": "success", "data": {"result": found}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def test_the_front_door_is_asked_without_a_key(server: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    assert front.status(url) == 401
    assert front.certificate_ends(url) is None


def certificate(folder: Path, days: int) -> tuple[Path, datetime]:
    """A self-signed certificate for localhost, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC).replace(microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path, now + timedelta(days=days)


def secure(server: ThreadingHTTPServer, pem: Path) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return f"https://localhost:{server.server_port}"


def test_the_certificate_is_the_one_that_clients_are_shown(tmp_path: Path) -> None:
    pem, ends = certificate(tmp_path, 40)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = secure(server, pem)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        trusting = ssl.create_default_context(cafile=str(pem))
        assert front.certificate_ends(url, trusting) == ends
        assert front.status(url, trusting) == 401
        with pytest.raises(OperationFailed, match="clients refuse the certificate"):
            front.certificate_ends(url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_jobs_and_alerts_come_from_prometheus(server: ThreadingHTTPServer) -> None:
    store = Prometheus(f"http://127.0.0.1:{server.server_port}", sleep=lambda _: None)
    assert measured.targets(store, "prod") == {"superagent": (1, 2), "node": (1, 1)}
    assert measured.watchdog(store)
    assert measured.firing(store, "prod", "critical") == ("SuperAgentServiceDown",)
    assert not measured.limiter(store, "prod")


def refused(code: str) -> Callable[[], Any]:
    from botocore.exceptions import ClientError

    def ask() -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "secret words"}}, "ListSecrets")

    return ask


def raised(error: Exception) -> Callable[[], Any]:
    def ask() -> Any:
        raise error

    return ask


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (refused("AccessDeniedException"), Missing("ListSecrets: AccessDeniedException")),
        (raised(UserError("It is not up.", "Start it.")), Missing("It is not up", "Start it.")),
        (raised(OperationFailed("broken")), Missing("broken")),
        (raised(ConnectionRefusedError("no")), Missing("ConnectionRefusedError: no")),
        (lambda: 7, 7),
    ],
)
def test_what_cannot_be_seen_says_why(at: Callable[[], Any], why: object) -> None:
    assert look(at) == why


def test_a_system_that_is_not_up_has_nothing_to_see_and_that_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERAGENT_HOME", str(tmp_path))
    monkeypatch.setattr(collect, "Recording", lambda *_: SimpleNamespace(result=lambda: None))
    monkeypatch.setattr(collect, "_program", lambda *_: {})
    found = collect.facts("local")
    assert found.drill == Missing("The local system is not up", "Start it with `superagent up`.")


OUTPUTS = StackOutputs(
    environment="prod", region=REGION, compute="ec2", vpc_id="", alb_arn="", alb_dns_name="", listener_arn="",
    test_listener_arn="", target_group_arns={"blue": "b", "green": "g"}, image_parameters={},
    release_table="releases", backup_bucket="backups", database_pointer="",
    alert_topic_arn="arn:aws:sns:eu-central-1:123456789012:alerts",
)  # fmt: skip


@pytest.fixture(scope="module")
def env(moto_endpoint: str) -> Environment:
    """An account with a balancer, secrets, a topic and a backup bucket; made once: it takes seconds."""
    urllib.request.urlopen(
        urllib.request.Request(f"{moto_endpoint}/moto-api/reset", method="POST"), timeout=60
    ).close()
    aws = Environment(OUTPUTS, moto_endpoint).client
    ec2, elb = aws("ec2"), aws("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{az}")["Subnet"]
        for n, az in enumerate("ab")
    ]
    balancer = elb.create_load_balancer(Name="alb", Subnets=[one["SubnetId"] for one in subnets])
    arn = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    cert = aws("acm").request_certificate(DomainName="api.example.org")["CertificateArn"]
    group = elb.create_target_group(Name="blue", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    forward = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    elb.create_listener(
        LoadBalancerArn=arn, Protocol="HTTPS", Port=443, DefaultActions=forward,
        Certificates=[{"CertificateArn": cert}], SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
    )  # fmt: skip
    elb.create_listener(
        LoadBalancerArn=arn, Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "redirect", "RedirectConfig": redirect}],
    )  # fmt: skip
    manager = aws("secretsmanager")
    manager.create_secret(Name="superagent/prod/providers", SecretString="{}")
    manager.create_secret(Name="superagent/prod/cache")
    manager.create_secret(Name="superagent/dev/providers", SecretString="{}")
    topic = aws("sns").create_topic(Name="alerts")["TopicArn"]
    aws("s3").create_bucket(Bucket="backups", CreateBucketConfiguration={"LocationConstraint": REGION})
    return Environment(dataclasses.replace(OUTPUTS, alb_arn=arn, alert_topic_arn=topic), moto_endpoint)


@pytest.mark.component
def test_listeners_are_read_by_port(env: Environment) -> None:
    assert [(one.port, one.protocol, one.redirects) for one in live.listeners(env)] == [
        (80, "HTTP", True),
        (443, "HTTPS", False),
    ]
    assert "TLS13" in live.listeners(env)[1].policy


@pytest.mark.component
def test_secrets_of_other_environments_are_not_ours_and_an_empty_one_is_seen(env: Environment) -> None:
    found = {one.name: one.changed for one in live.secrets(env)}
    assert set(found) == {"superagent/prod/providers", "superagent/prod/cache"}
    assert found["superagent/prod/cache"] is None
    assert found["superagent/prod/providers"] is not None


@pytest.mark.component
def test_a_receiver_is_a_confirmed_subscription_and_its_address_is_not_told(env: Environment) -> None:
    assert live.receivers(env) == ()
    env.client("sns").subscribe(
        TopicArn=env.outputs.alert_topic_arn, Protocol="sqs", Endpoint="arn:aws:sqs:eu-central-1:1:q"
    )
    assert live.receivers(env) == ("sqs",)


@pytest.mark.component
def test_the_newest_report_of_a_drill_counts_if_the_stacks_key_signed_it(env: Environment) -> None:
    """As for the alert: whoever may write to the bucket may write `passed` into a file."""
    aws = env.client
    made = aws("kms").create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["Arn"]
    ours = dataclasses.replace(env, outputs=dataclasses.replace(env.outputs, drill_key=f"kms:{made}"))
    mac, by = signing.signer(Context(ours, Store(aws("s3"), "backups")))
    assert live.drill(ours) is None
    for name, day, passed, signs in (
        ("a", 21, False, mac),
        ("b", 22, True, mac),
        ("c", 23, True, lambda data: b"x" * report.SIZE),
        ("d", 24, False, mac),
    ):
        told = dataclasses.replace(
            REPORT, started_at=f"2026-11-{day}T03:00:00+00:00", checks=[Check("it", passed, "")]
        )
        body = json.dumps(report.signed(told, signs, by))
        aws("s3").put_object(Bucket="backups", Key=f"drills/{name}.json", Body=body)
        found = live.drill(ours)
        assert found is not None
        assert (found.at.day, found.passed) == (day, name == "b")


@pytest.mark.component
def test_in_aws_nobody_looks_for_backups_that_elasticache_makes(env: Environment) -> None:
    assert env.outputs.compute == "ec2"
    assert {kind: one.newest for kind, one in live.backups(env).items()} == {"postgres": None, "config": None}
    here = dataclasses.replace(env, outputs=dataclasses.replace(env.outputs, compute="local"))
    assert set(live.backups(here)) == {"postgres", "redis", "config"}


@pytest.mark.component
def test_vcpus_come_from_the_instance_type_and_an_unknown_quota_is_said(env: Environment) -> None:
    assert live.vcpus_of(env.client("ec2"), "c7i.xlarge") == 4
    missing = look(lambda: live.quotas(env, 240))  # moto knows no quotas of EC2
    assert isinstance(missing, Missing)
    assert "ServiceQuota" in missing.why


def test_a_quota_is_compared_with_what_both_colours_need() -> None:
    class Quotas:
        def get_service_quota(self, **which: str) -> dict[str, Any]:
            assert which == {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
            return {"Quota": {"Value": 64.0}}

    class Env:
        def client(self, service: str) -> Quotas:
            assert service == "service-quotas"
            return Quotas()

    (found,) = live.quotas(Env(), 240)  # type: ignore[arg-type]
    assert (found.needed, found.allowed) == (240, 64)


def test_the_program_tells_rates_database_and_need() -> None:
    overrides = [{"instanceType": "c7i.xlarge"}, {"instanceType": "c7i.2xlarge"}]
    resources = [
        Resource("aws:wafv2/webAcl:WebAcl", "waf", "u1", {"rules": [
            {"statement": {"managedRuleGroupStatement": {}}},
            {"statement": {"rateBasedStatement": {"limit": 6000}}},
        ]}),
        Resource("aws:rds/instance:Instance", "primary", "u2", {
            "multiAz": True, "deletionProtection": True, "storageEncrypted": True, "skipFinalSnapshot": True,
        }, protect=True),
        *(Resource("aws:autoscaling/group:Group", colour, colour, {"maxSize": 30, "mixedInstancesPolicy": {
            "launchTemplate": {"overrides": overrides},
        }}) for colour in ("blue", "green")),
    ]  # fmt: skip
    whole = Recorded("dev", {one.urn: one for one in resources}, {}, frozenset(), {})
    found = program(whole, lambda name: {"c7i.xlarge": 4, "c7i.2xlarge": 8}[name])
    assert found.waf_rate == 6000
    assert found.database == {"multi_az": True, "protected": True, "encrypted": True, "final_snapshot": False}
    assert found.needed_vcpus == 2 * 30 * 8
    assert found.findings  # such an estate breaks rules
    assert program(Recorded("dev", {}, {}, frozenset(), {})).database == {}


def test_files_of_the_local_system_are_looked_at(tmp_path: Path) -> None:
    place = Layout(tmp_path)
    place.secrets.mkdir()
    (place.secrets / "database_url").write_text("x")
    (place.secrets / "database_url").chmod(0o600)
    (place.secrets / "key").write_text("x")
    (place.secrets / "key").chmod(0o644)
    assert [one.private for one in here.secrets(place)] == [True, False]
    place.conf.mkdir()
    (place.conf / "alertmanager.yml").write_text(
        "receivers:\n- name: quiet\n- name: hook\n  webhook_configs:\n  - url: http://127.0.0.1:9/\n"
    )
    assert here.receivers(place) == ("webhook",)
    assert {one.name for one in here.quotas(place)} == {"open files", "GiB of free disk"}
