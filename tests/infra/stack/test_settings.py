"""Bad configuration stops with key, value, rule and fix."""

from __future__ import annotations

import pytest

from infra.errors import UserError
from infra.stack.profiles import ENVIRONMENTS
from infra.stack.settings import load

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
    ({"compute": "fargate"}, r"compute is 'fargate'"),
    ({"vpc_cird": "10.0.0.0/16"}, r"vpc_cird .*no such key.*Did you mean superagent:vpc_cidr"),
    ({"environment": "production"}, r"environment is 'production'.*local, dev, staging, prod"),
]


@pytest.mark.parametrize(("keys", "said"), BAD, ids=lambda value: str(value)[:60])
def test_bad_configuration_is_refused_with_the_reason_and_the_fix(keys: dict[str, str], said: str) -> None:
    config = {f"superagent:{key}": value for key, value in keys.items()}
    with pytest.raises(UserError, match=said) as refused:
        load("local", config)
    assert refused.value.exit_code == 2
    assert refused.value.fix


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_profile_is_consistent(environment: str) -> None:
    assert load(environment, {}).environment == environment


def test_keys_of_providers_may_stand_beside_ours() -> None:
    settings = load(
        "dev",
        {"aws:region": "eu-west-1", "superagent:availability_zones": '["eu-west-1a", "eu-west-1b"]'},
    )
    assert settings.region == "eu-west-1"
