"""Whatever sequence of calls: after kill -9 the API answers as before, and goes on from there."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.infra.local.aws_process import AwsProcess
from tests.infra.local.test_aws_durability import plain

pytestmark = pytest.mark.component
CALLS_PER_LIFE = 40
LIVES = 2


class Operator:
    """Makes calls at random, by a seed; some are refused, which is part of it."""

    def __init__(self, aws: AwsProcess, seed: int) -> None:
        self.aws = aws
        self.pick = random.Random(seed)
        self.vpc = aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        aws.client("s3", "us-east-1").create_bucket(Bucket="bucket")
        aws.client("s3", "us-east-1").put_bucket_versioning(
            Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
        )
        aws.client("dynamodb").create_table(
            TableName="t",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )
        aws.client("sqs").create_queue(QueueName="q")

    def name(self) -> str:
        return f"n{self.pick.randrange(6)}"

    def step(self) -> None:
        call: Callable[[], Any] = self.pick.choice(
            [
                self.put_object,
                self.delete_object,
                self.put_item,
                self.delete_item,
                self.put_parameter,
                self.delete_parameter,
                self.create_group,
                self.delete_group,
                self.register,
                self.deregister,
                self.create_subnet,
                self.security_group,
                self.tag_vpc,
                self.secret,
                self.topic,
                self.role,
            ]
        )
        with contextlib.suppress(ClientError):
            call()

    def put_object(self) -> Any:
        body = self.pick.randbytes(self.pick.choice([0, 10, 100_000]))
        return self.aws.client("s3", "us-east-1").put_object(Bucket="bucket", Key=self.name(), Body=body)

    def delete_object(self) -> Any:
        return self.aws.client("s3", "us-east-1").delete_object(Bucket="bucket", Key=self.name())

    def put_item(self) -> Any:
        item = {"pk": {"S": self.name()}, "sk": {"S": self.name()}, "v": {"N": str(self.pick.randrange(99))}}
        return self.aws.client("dynamodb").put_item(TableName="t", Item=item)

    def delete_item(self) -> Any:
        key = {"pk": {"S": self.name()}, "sk": {"S": self.name()}}
        return self.aws.client("dynamodb").delete_item(TableName="t", Key=key)

    def put_parameter(self) -> Any:
        value = str(self.pick.random())
        return self.aws.client("ssm").put_parameter(
            Name=self.name(), Value=value, Type="String", Overwrite=self.pick.random() < 0.7
        )

    def delete_parameter(self) -> Any:
        return self.aws.client("ssm").delete_parameter(Name=self.name())

    def group_arn(self) -> str:
        found = self.aws.client("elbv2").describe_target_groups(Names=[self.name()])["TargetGroups"]
        arn: str = found[0]["TargetGroupArn"]
        return arn

    def create_group(self) -> Any:
        return self.aws.client("elbv2").create_target_group(
            Name=self.name(), Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="ip"
        )

    def delete_group(self) -> Any:
        return self.aws.client("elbv2").delete_target_group(TargetGroupArn=self.group_arn())

    def target(self) -> list[dict[str, Any]]:
        return [{"Id": f"127.0.0.{self.pick.randrange(10, 20)}", "Port": 8000}]

    def register(self) -> Any:
        return self.aws.client("elbv2").register_targets(
            TargetGroupArn=self.group_arn(), Targets=self.target()
        )

    def deregister(self) -> Any:
        return self.aws.client("elbv2").deregister_targets(
            TargetGroupArn=self.group_arn(), Targets=self.target()
        )

    def create_subnet(self) -> Any:
        block = f"10.0.{self.pick.randrange(6)}.0/24"
        return self.aws.client("ec2").create_subnet(VpcId=self.vpc, CidrBlock=block)

    def security_group(self) -> Any:
        return self.aws.client("ec2").create_security_group(
            GroupName=self.name(), Description="d", VpcId=self.vpc
        )

    def tag_vpc(self) -> Any:
        tag = {"Key": self.name(), "Value": self.name()}
        return self.aws.client("ec2").create_tags(Resources=[self.vpc], Tags=[tag])

    def secret(self) -> Any:
        return self.aws.client("secretsmanager").create_secret(Name=self.name(), SecretString=self.name())

    def topic(self) -> Any:
        topic = self.aws.client("sns").create_topic(Name=self.name())["TopicArn"]
        queue = "arn:aws:sqs:eu-central-1:123456789012:q"
        self.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
        return self.aws.client("sns").publish(TopicArn=topic, Message=self.name())

    def role(self) -> Any:
        return self.aws.client("iam").create_role(RoleName=self.name(), AssumeRolePolicyDocument="{}")

    def picture(self) -> dict[str, Any]:
        """Everything that the calls can have changed."""
        s3, elbv2 = self.aws.client("s3", "us-east-1"), self.aws.client("elbv2")
        ec2, groups = self.aws.client("ec2"), elbv2.describe_target_groups()
        objects = s3.list_object_versions(Bucket="bucket")
        return {
            "objects": plain(objects),
            "bodies": [
                s3.get_object(Bucket="bucket", Key=one["Key"], VersionId=one["VersionId"])["Body"].read()
                for one in objects.get("Versions", [])
            ],
            "items": plain(self.aws.client("dynamodb").scan(TableName="t")),
            "parameters": plain(self.aws.client("ssm").describe_parameters()),
            "groups": plain(groups),
            "targets": [
                [
                    one["Target"]
                    for one in elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
                        "TargetHealthDescriptions"
                    ]
                ]
                for group in groups["TargetGroups"]
            ],
            "vpcs": plain(ec2.describe_vpcs()),
            "subnets": plain(ec2.describe_subnets()),
            "security groups": plain(ec2.describe_security_groups()),
            "secrets": plain(self.aws.client("secretsmanager").list_secrets()),
            "subscriptions": plain(self.aws.client("sns").list_subscriptions()),
            "queue": self.aws.client("sqs").get_queue_attributes(
                QueueUrl=self.aws.client("sqs").get_queue_url(QueueName="q")["QueueUrl"],
                AttributeNames=["ApproximateNumberOfMessages"],
            )["Attributes"],
            "roles": plain(self.aws.client("iam").list_roles()),
        }


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_any_sequence_of_calls_survives_kill_9(aws_process: AwsProcess, seed: int) -> None:
    operator = Operator(aws_process, seed)
    for _ in range(LIVES):
        for _ in range(CALLS_PER_LIFE):
            operator.step()
        before = operator.picture()
        aws_process.kill_and_restart()
        assert operator.picture() == before
