"""What the environment's AWS API says is what is there."""

from __future__ import annotations

import dataclasses
import json
import urllib.request
from typing import Any

import pytest

from infra.check import live
from infra.check.collect import look
from infra.check.facts import Missing
from infra.recovery import report, signing
from infra.recovery.context import Context
from infra.recovery.report import Check
from infra.recovery.store import Store
from infra.stack.environment import Environment
from infra.stack.outputs import StackOutputs
from tests.infra.recovery.test_facts import REPORT
from tests.parts import REGION

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
