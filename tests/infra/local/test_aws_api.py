"""What the local AWS API adds to moto: atomic writes, honest target health, notices, faults."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from tests.infra.local.aws_process import AwsProcess

pytestmark = pytest.mark.component


def table(aws: AwsProcess) -> Any:
    client = aws.client("dynamodb")
    client.create_table(
        TableName="t",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    return client


def group(aws: AwsProcess, name: str = "blue", **attributes: str) -> str:
    elbv2 = aws.client("elbv2")
    vpc = aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    made = elbv2.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")
    arn: str = made["TargetGroups"][0]["TargetGroupArn"]
    elbv2.modify_target_group_attributes(
        TargetGroupArn=arn,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": attributes.get("delay", "60")}],
    )
    return arn


def attach(aws: AwsProcess, arn: str, weight: int) -> None:
    elbv2 = aws.client("elbv2")
    subnets = [one["SubnetId"] for one in aws.client("ec2").describe_subnets()["Subnets"][:2]]
    lb = elbv2.create_load_balancer(Name="edge", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    forward = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight}]}
    elbv2.create_listener(
        LoadBalancerArn=lb,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "ForwardConfig": forward}],
    )


def health(aws: AwsProcess, arn: str) -> dict[str, tuple[str, str | None]]:
    seen = aws.client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return {
        one["Target"]["Id"]: (one["TargetHealth"]["State"], one["TargetHealth"].get("Reason")) for one in seen
    }


def test_of_fifty_conditional_writes_at_once_exactly_one_wins(aws_process: AwsProcess) -> None:
    client = table(aws_process)
    start = threading.Barrier(50)

    def write(number: int) -> bool:
        start.wait(60)
        try:
            client.put_item(
                TableName="t",
                Item={"pk": {"S": "lease"}, "owner": {"N": str(number)}},
                ConditionExpression="attribute_not_exists(pk)",
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        won = list(pool.map(write, range(50)))
    assert won.count(True) == 1
    aws_process.kill_and_restart()
    item = client.get_item(TableName="t", Key={"pk": {"S": "lease"}})["Item"]
    assert item["owner"]["N"] == str(won.index(True))


def test_fifty_concurrent_increments_are_all_counted(aws_process: AwsProcess) -> None:
    client = table(aws_process)

    def add(_: int) -> None:
        client.update_item(
            TableName="t",
            Key={"pk": {"S": "counter"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(add, range(50)))
    item = client.get_item(TableName="t", Key={"pk": {"S": "counter"}})["Item"]
    assert item["n"]["N"] == "50"


def test_reads_write_nothing(aws_process: AwsProcess) -> None:
    arn = group(aws_process)
    client = table(aws_process)
    client.put_item(TableName="t", Item={"pk": {"S": "a"}})
    s3 = aws_process.client("s3", "us-east-1")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"body")
    aws_process.client("ssm").put_parameter(Name="p", Value="v", Type="String")
    before = aws_process.files()
    for _ in range(3):
        aws_process.client("elbv2").describe_target_health(TargetGroupArn=arn)
        aws_process.client("elbv2").describe_load_balancers()
        aws_process.client("ec2").describe_vpcs()
        client.get_item(TableName="t", Key={"pk": {"S": "a"}})
        client.scan(TableName="t")
        s3.get_object(Bucket="bucket", Key="k")["Body"].read()
        s3.list_objects_v2(Bucket="bucket")
        aws_process.client("ssm").get_parameter(Name="p")
    assert aws_process.files() == before
    client.put_item(TableName="t", Item={"pk": {"S": "b"}})
    assert aws_process.files() != before


def test_a_target_of_a_group_that_nothing_forwards_to_is_unused(aws_process: AwsProcess) -> None:
    arn = group(aws_process)
    aws_process.client("elbv2").register_targets(
        TargetGroupArn=arn, Targets=[{"Id": "127.0.0.11", "Port": 80}]
    )
    assert health(aws_process, arn) == {"127.0.0.11": ("unused", "Target.NotInUse")}


def test_a_target_is_initial_until_the_load_balancer_has_seen_it(aws_process: AwsProcess) -> None:
    arn = group(aws_process)
    attach(aws_process, arn, weight=0)  # weight 0 is attached all the same
    targets = [{"Id": "127.0.0.11", "Port": 80}]
    elbv2 = aws_process.client("elbv2")
    elbv2.register_targets(TargetGroupArn=arn, Targets=targets)
    assert health(aws_process, arn) == {"127.0.0.11": ("initial", "Elb.RegistrationInProgress")}
    report = {"state": "unhealthy", "reason": "Target.Timeout", "description": "Request timed out"}
    assert aws_process.post("/superagent/target-health", {arn: {"127.0.0.11": report}}) == 200
    assert health(aws_process, arn) == {"127.0.0.11": ("unhealthy", "Target.Timeout")}
    assert aws_process.post("/superagent/target-health", {arn: {"127.0.0.11": {"state": "healthy"}}}) == 200
    elbv2.register_targets(TargetGroupArn=arn, Targets=targets)
    assert health(aws_process, arn) == {"127.0.0.11": ("healthy", None)}, "registered twice is registered"
    elbv2.deregister_targets(TargetGroupArn=arn, Targets=targets)
    elbv2.register_targets(TargetGroupArn=arn, Targets=targets)
    assert health(aws_process, arn)["127.0.0.11"][0] == "initial", "another life, another health"


def test_a_deregistered_target_drains_also_across_a_restart(aws_process: AwsProcess) -> None:
    arn = group(aws_process)
    attach(aws_process, arn, weight=1)
    targets = [{"Id": "127.0.0.11", "Port": 80}]
    elbv2 = aws_process.client("elbv2")
    elbv2.register_targets(TargetGroupArn=arn, Targets=targets)
    elbv2.deregister_targets(TargetGroupArn=arn, Targets=targets)
    draining = {"127.0.0.11": ("draining", "Target.DeregistrationInProgress")}
    assert health(aws_process, arn) == draining
    aws_process.kill_and_restart()
    assert health(aws_process, arn) == draining
    assert aws_process.post("/superagent/target-health", {arn: {"127.0.0.11": {"state": "unused"}}}) == 200
    assert health(aws_process, arn) == {}


def test_deregistering_what_is_registered_no_more_succeeds_as_in_aws(aws_process: AwsProcess) -> None:
    arn, elbv2 = group(aws_process, "leaving"), aws_process.client("elbv2")
    attach(aws_process, arn, 100)
    both = [{"Id": "127.0.0.11", "Port": 8000}, {"Id": "127.0.0.12", "Port": 8000}]
    elbv2.register_targets(TargetGroupArn=arn, Targets=both)
    elbv2.deregister_targets(TargetGroupArn=arn, Targets=both[:1])
    elbv2.deregister_targets(TargetGroupArn=arn, Targets=both)
    assert {state for state, _ in health(aws_process, arn).values()} == {"draining"}


@pytest.mark.parametrize(
    "body", [[], {"arn": []}, {"arn": {"t": 1}}, {"arn": {"t": {"state": "fine"}}}, {"arn": {"t": {}}}]
)
def test_a_health_report_that_is_wrong_is_refused(aws_process: AwsProcess, body: Any) -> None:
    assert aws_process.post("/superagent/target-health", body) == 400


def test_a_change_of_load_balancing_is_told_at_once_and_others_are_not(aws_process: AwsProcess) -> None:
    token = aws_process.get("/superagent/changes?since=")["token"]
    aws_process.client("ssm").put_parameter(Name="p", Value="v", Type="String")
    assert aws_process.get("/superagent/changes?since=")["token"] == token
    heard: list[str] = []
    listener = threading.Thread(
        target=lambda: heard.append(aws_process.get(f"/superagent/changes?since={token}")["token"])
    )
    listener.start()
    group(aws_process)
    listener.join(20)
    assert heard and heard[0] != token


@pytest.mark.parametrize(
    ("service", "action", "arguments"),
    [
        ("dynamodb", "ListTables", {}),
        ("elbv2", "DescribeLoadBalancers", {}),
        ("ec2", "DescribeVpcs", {}),
        ("ssm", "DescribeParameters", {}),
    ],
)
def test_an_ordered_fault_reaches_the_client_as_many_times_as_ordered(
    aws_process: AwsProcess, service: str, action: str, arguments: dict[str, Any]
) -> None:
    client = aws_process.client(service)
    method = getattr(client, _method(client, action))
    fault = {"action": action, "error": "ThrottlingException", "count": 2}
    assert aws_process.post("/superagent/faults", fault) == 200
    for _ in range(2):
        with pytest.raises(ClientError) as failed:
            method(**arguments)
        assert failed.value.response["Error"]["Code"] == "ThrottlingException"
    method(**arguments)


def _method(client: Any, action: str) -> str:
    return next(name for name, api in client.meta.method_to_api_mapping.items() if api == action)


def test_a_fault_after_the_effect_loses_only_the_answer(aws_process: AwsProcess) -> None:
    client = aws_process.client("ssm")
    fault = {"action": "PutParameter", "error": "InternalServerError", "when": "after"}
    assert aws_process.post("/superagent/faults", fault) == 200
    with pytest.raises(ClientError):
        client.put_parameter(Name="p", Value="v", Type="String")
    assert client.get_parameter(Name="p")["Parameter"]["Value"] == "v"


@pytest.mark.parametrize(
    "wrong", [{}, {"action": "A", "count": 0}, {"action": "A", "when": "x"}, {"actoin": "A"}]
)
def test_a_fault_that_is_wrong_is_refused(aws_process: AwsProcess, wrong: Any) -> None:
    assert aws_process.post("/superagent/faults", wrong) == 400


def test_a_waiting_queue_reader_holds_nobody_up(aws_process: AwsProcess) -> None:
    sqs = aws_process.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    got: list[str] = []

    def receive() -> None:
        found = aws_process.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=20)
        got.extend(message["Body"] for message in found.get("Messages", []))

    reader = threading.Thread(target=receive)
    reader.start()
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    reader.join(20)
    assert got == ["hello"]


def test_a_write_interrupted_by_kill_9_is_there_or_not_but_never_half(aws_process: AwsProcess) -> None:
    client = table(aws_process)
    answered = 0

    def write() -> None:
        nonlocal answered
        try:
            for number in range(10_000):
                client.put_item(TableName="t", Item={"pk": {"S": f"{number:05}"}})
                answered = number + 1
        except (ConnectionClosedError, EndpointConnectionError):
            return

    writer = threading.Thread(target=write)
    writer.start()
    while answered < 20:
        time.sleep(0.001)
    aws_process.kill()
    writer.join(30)
    aws_process.start()
    items = aws_process.client("dynamodb").scan(TableName="t")["Items"]
    stored = sorted(one["pk"]["S"] for one in items)
    assert stored == [f"{number:05}" for number in range(len(stored))]
    assert answered <= len(stored) <= answered + 1


def test_a_listener_cannot_be_pointed_at_what_does_not_exist(aws_process: AwsProcess) -> None:
    arn = group(aws_process)
    attach(aws_process, arn, weight=1)
    elbv2 = aws_process.client("elbv2")
    lb = elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    listener = elbv2.describe_listeners(LoadBalancerArn=lb)["Listeners"][0]
    for wrong, weight in ((arn + "0", 1), (arn, 1000), (arn, -1)):
        forward = {"TargetGroups": [{"TargetGroupArn": wrong, "Weight": weight}]}
        with pytest.raises(ClientError) as refused:
            elbv2.modify_listener(
                ListenerArn=listener["ListenerArn"],
                DefaultActions=[{"Type": "forward", "ForwardConfig": forward}],
            )
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert elbv2.describe_listeners(LoadBalancerArn=lb)["Listeners"][0] == listener


def test_a_target_group_that_a_change_attaches_is_listed_with_the_load_balancer(
    aws_process: AwsProcess,
) -> None:
    blue, green = group(aws_process), group(aws_process, "green")
    attach(aws_process, blue, weight=1)
    elbv2 = aws_process.client("elbv2")
    lb = elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    listener = elbv2.describe_listeners(LoadBalancerArn=lb)["Listeners"][0]["ListenerArn"]
    elbv2.modify_listener(ListenerArn=listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": green}])
    listed = elbv2.describe_target_groups(LoadBalancerArn=lb)["TargetGroups"]
    assert green in [one["TargetGroupArn"] for one in listed]
