"""The real program against a real AWS API (moto): what it makes, and that a second run changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.errors import OperationFailed, UserError
from infra.local.provision import provision
from infra.stack.outputs import StackOutputs
from tests.parts import free_port

Clients = Callable[[str], Any]


@pytest.fixture
def outputs(aws: Clients, moto_endpoint: str) -> StackOutputs:
    return provision("local", moto_endpoint, {"http_port": "18080", "test_port": "18081"})


@pytest.mark.component
def test_the_estate_reads_back_as_declared(aws: Clients, outputs: StackOutputs) -> None:
    elb, ec2, s3 = aws("elbv2"), aws("ec2"), aws("s3")
    production, test = elb.describe_listeners(ListenerArns=[outputs.listener_arn, outputs.test_listener_arn])[
        "Listeners"
    ]
    forward = production["DefaultActions"][0]["ForwardConfig"]
    weights = {group["TargetGroupArn"]: group["Weight"] for group in forward["TargetGroups"]}
    assert weights == {outputs.target_group_arns["blue"]: 100, outputs.target_group_arns["green"]: 0}
    assert forward["TargetGroupStickinessConfig"]["Enabled"] is True
    assert (production["Port"], test["Port"]) == (18080, 18081)
    assert test["DefaultActions"][0]["ForwardConfig"]["TargetGroups"] == [
        {"TargetGroupArn": outputs.target_group_arns["green"], "Weight": 100}
    ]
    groups = elb.describe_target_groups(TargetGroupArns=list(outputs.target_group_arns.values()))
    assert {(group["TargetType"], group["HealthCheckPath"]) for group in groups["TargetGroups"]} == {
        ("ip", "/health/ready")
    }
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [outputs.vpc_id]}])["Subnets"]
    assert len(subnets) == 6
    assert s3.get_bucket_versioning(Bucket=outputs.backup_bucket)["Status"] == "Enabled"
    lock = s3.get_object_lock_configuration(Bucket=outputs.backup_bucket)["ObjectLockConfiguration"]
    retention = lock["Rule"]["DefaultRetention"]
    assert (retention["Mode"], retention["Days"]) == ("GOVERNANCE", 1)
    keys = aws("dynamodb").describe_table(TableName=outputs.release_table)["Table"]["KeySchema"]
    assert [(key["AttributeName"], key["KeyType"]) for key in keys] == [("pk", "HASH"), ("sk", "RANGE")]


@pytest.mark.component
def test_a_second_run_keeps_what_the_release_tool_owns(
    aws: Clients, moto_endpoint: str, outputs: StackOutputs
) -> None:
    elb, ssm = aws("elbv2"), aws("ssm")
    blue, green = outputs.target_group_arns["blue"], outputs.target_group_arns["green"]
    shifted = [{"TargetGroupArn": blue, "Weight": 0}, {"TargetGroupArn": green, "Weight": 100}]
    elb.modify_listener(
        ListenerArn=outputs.listener_arn,
        DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": shifted}}],
    )
    elb.register_targets(TargetGroupArn=green, Targets=[{"Id": "127.0.0.21", "Port": 8000}])
    ssm.put_parameter(Name=outputs.image_parameters["green"], Value="v7", Overwrite=True)

    again = provision("local", moto_endpoint, {"http_port": "18090", "test_port": "18081"})

    assert again == outputs
    listener = elb.describe_listeners(ListenerArns=[outputs.listener_arn])["Listeners"][0]
    kept = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
    assert {group["TargetGroupArn"]: group["Weight"] for group in kept} == {blue: 0, green: 100}
    assert listener["Port"] == 18090
    assert len(elb.describe_listeners(LoadBalancerArn=outputs.alb_arn)["Listeners"]) == 2
    targets = elb.describe_target_health(TargetGroupArn=green)["TargetHealthDescriptions"]
    assert [one["Target"]["Id"] for one in targets] == ["127.0.0.21"]
    assert ssm.get_parameter(Name=outputs.image_parameters["green"])["Parameter"]["Value"] == "v7"


def test_a_wrong_setting_is_refused_before_anything_is_called() -> None:
    with pytest.raises(UserError, match=r"superagent:http_prot .*Did you mean superagent:http_port"):
        provision("local", f"http://127.0.0.1:{free_port()}", {"http_prot": "1"})


def test_an_endpoint_that_is_not_there_fails_with_its_address() -> None:
    port = free_port()
    with pytest.raises(OperationFailed, match=str(port)):
        provision("local", f"http://127.0.0.1:{port}", {})
