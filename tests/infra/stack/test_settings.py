"""Bad configuration stops with key, value, rule and fix."""

from __future__ import annotations

import pytest

from infra.errors import UserError
from infra.stack.configuration import load
from infra.stack.profiles import ENVIRONMENTS

WITH_NAME = {"superagent:domain": "api.example.com", "superagent:hosted_zone_id": "Z0123456789"}

BAD: list[tuple[dict[str, str], str]] = [
    ({"vpc_cidr": "10.0.0.0/8"}, r"vpc_cidr is '10\.0\.0\.0/8': a VPC here is a /16 to /20"),
    ({"vpc_cidr": "10.0.0.1/16"}, r"vpc_cidr is .* not an IPv4 network"),
    ({"vpc_cidr": "8.8.0.0/16"}, r"vpc_cidr .* must be private"),
    ({"availability_zones": '["eu-central-1a"]'}, r"availability_zones .* at least two AZs.*Pin them"),
    ({"availability_zones": '["eu-central-1a", "eu-central-1a"]'}, r"each AZ counts once"),
    (
        {"availability_zones": '["us-east-1a", "us-east-1b"]'},
        r"us-east-1a.* not an AZ of region eu-central-1",
    ),
    ({"availability_zones": "[eu-central-1a"}, r"availability_zones is .* no JSON"),
    ({"deregistration_delay_seconds": "1"}, r"shorter than the longest stream .*Set it to at least"),
    ({"deregistration_delay_seconds": "0"}, r"deregistration_delay_seconds is 0|'0'"),
    ({"old_colour_life_seconds": "1"}, r"old_colour_life_seconds is 1: .*stickiness .* \+ drain"),
    ({"stickiness_seconds": "604801"}, r"stickiness_seconds is .*604800"),
    (
        {"health_check_timeout_seconds": "100"},
        r"health_check_timeout_seconds is 100: must be below the interval",
    ),
    ({"http_port": "eighty"}, r"http_port is 'eighty': .*integer"),
    ({"http_port": "9000", "test_port": "9000"}, r"test_port is 9000: .*cannot share"),
    ({"metrics_port": "8000"}, r"metrics_port is 8000: .*cannot share"),
    ({"release_steps": "cannary"}, r"release_steps is 'cannary': .*canary, linear, all-at-once"),
    ({"release_steps": "[50, 20, 100]"}, r"release_steps is \[50, 20, 100\]: 20 does not grow"),
    ({"release_steps": "[10, 50]"}, r"release_steps is \[10, 50\]: ends at 50 %"),
    ({"release_steps": "[]"}, r"release_steps is \[\]: there is no step"),
    ({"release_steps": '["ten", 100]'}, r"release_steps\.0 is 'ten'"),
    ({"release_bake_seconds": "-1"}, r"release_bake_seconds is '-1': .*greater than or equal to 0"),
    ({"release_bake_seconds": "2 weeks"}, r"release_bake_seconds is '2 weeks'"),
    ({"compute": "fargate"}, r"compute is 'fargate'"),
    ({"vpc_cird": "10.0.0.0/16"}, r"vpc_cird .*no such key.*Did you mean superagent:vpc_cidr"),
    ({"environment": "production"}, r"environment is 'production'.*local, dev, staging, prod"),
]


BAD_IN_AWS: list[tuple[dict[str, str], str]] = [
    ({"domain": ""}, r"domain is '': "),
    ({"hosted_zone_id": "abc"}, r"hosted_zone_id is 'abc'"),
    ({"backup_retention_days": "0"}, r"backup_retention_days is 0: prod keeps point-in-time backups"),
    ({"protection": "false"}, r"protection is False: prod never runs without it"),
    ({"multi_az": "false"}, r"multi_az is False: prod never runs without it"),
    ({"cache_nodes": "1"}, r"cache_nodes is 1: Multi-AZ needs a replica"),
    ({"max_size": "1"}, r"max_size is 1: below superagent:min_size \(3\)"),
    ({"instance_types": "[]"}, r"instance_types .* at least one type"),
    ({"instance_types": '["c7g.large", "c7i.large"]'}, r"Graviton \(c7g\.large\) and x86"),
    ({"replica_region": "eu-central-1"}, r"replica_region .* same region dies with it"),
    (
        {"replica_region": "eu-west-3"},
        r"replica_availability_zones .*not an AZ of the replica region eu-west-3",
    ),
    ({"disaster_recovery": "false"}, r"cross_region_replica is True: .*disaster_recovery"),
    ({"backup_keep_days": "3"}, r"backup_keep_days is 3: .*lock of 30 days"),
    ({"database_class": "m7g.large"}, r"database_class is 'm7g.large': not a type such as db"),
    ({"database_version": "17"}, r"database_version is '17'"),
    ({"log_retention_days": "42"}, r"log_retention_days is '42'"),
    ({"eks_public_cidrs": '["0.0.0.0/0"]'}, r"eks_public_cidrs .* not for the whole internet"),
    ({"client_cidrs": '["10.0.0.0/33"]'}, r"client_cidrs is '10.0.0.0/33': not an IPv4 network"),
    ({"compute": "local"}, r"compute is 'local': "),
    ({"github_repository": "no-owner"}, r"github_repository is 'no-owner'"),
    ({"github_repository": "o/r"}, r"state_bucket is None: the workflows .* could not read"),
    ({"state_bucket": "Not_A_Bucket"}, r"state_bucket is 'Not_A_Bucket'"),
    ({"idle_timeout_seconds": "5000"}, r"idle_timeout_seconds is '5000'.*4000"),
    ({"http_port": "80"}, r"http_port is 80: the redirect to HTTPS answers there"),
    ({"test_port": "80"}, r"test_port is 80: the redirect to HTTPS answers there"),
    ({"instance_types": "c7i.large"}, r"instance_types is 'c7i.large', which is no list"),
    ({"compute": "eks", "eks_version": "1.28"}, r"eks_version is '1.28': pods here need native sidecars"),
]


@pytest.mark.parametrize(("keys", "said"), BAD_IN_AWS, ids=lambda value: str(value)[:60])
def test_bad_configuration_of_prod_is_refused(keys: dict[str, str], said: str) -> None:
    config = WITH_NAME | {f"superagent:{key}": value for key, value in keys.items()}
    with pytest.raises(UserError, match=said):
        load("prod", config)


def test_prod_without_any_certificate_is_refused() -> None:
    with pytest.raises(UserError, match=r"superagent:domain is None: the listener needs a certificate"):
        load("prod", {})


@pytest.mark.parametrize(("keys", "said"), BAD, ids=lambda value: str(value)[:60])
def test_bad_configuration_is_refused_with_the_reason_and_the_fix(keys: dict[str, str], said: str) -> None:
    config = {f"superagent:{key}": value for key, value in keys.items()}
    with pytest.raises(UserError, match=said) as refused:
        load("local", config)
    assert refused.value.exit_code == 2
    assert refused.value.fix


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("compute", ["ec2", "eks"])
def test_every_profile_is_consistent(environment: str, compute: str) -> None:
    choice = {} if environment == "local" else {"superagent:compute": compute, **WITH_NAME}
    assert load(environment, choice).environment == environment


def test_keys_of_providers_may_stand_beside_ours() -> None:
    settings = load(
        "dev",
        {
            "aws:region": "eu-west-1",
            **WITH_NAME,
            "superagent:availability_zones": '["eu-west-1a", "eu-west-1b"]',
        },
    )
    assert settings.region == "eu-west-1"


def test_steps_may_be_named_or_listed() -> None:
    assert load("local", {"superagent:release_steps": "linear"}).release_steps == (20, 40, 60, 80, 100)
    assert load("local", {"superagent:release_steps": "[1, 100]"}).release_steps == (1, 100)
    assert load("local", {}).release_steps == (10, 50, 100)
