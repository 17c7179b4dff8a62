"""kill -9 at any time: what was answered is there after the restart."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.infra.local.aws_process import AwsProcess

pytestmark = pytest.mark.component

Make = Callable[[AwsProcess], None]
Read = Callable[[AwsProcess], Any]


ALWAYS_NEW = {"ResponseMetadata", "LatestRestorableTime"}


def plain(answer: Any) -> Any:
    """An answer without what differs between any two calls."""

    def without_new(found: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in found.items() if name not in ALWAYS_NEW}

    return json.loads(json.dumps(answer, default=str), object_hook=without_new)


def network(aws: AwsProcess) -> None:
    ec2, elbv2, scaling = aws.client("ec2"), aws.client("elbv2"), aws.client("autoscaling")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=f"eu-central-1{zone}")[
            "Subnet"
        ]["SubnetId"]
        for i, zone in enumerate("ab")
    ]
    lb = elbv2.create_load_balancer(Name="edge", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    group = elbv2.create_target_group(Name="blue", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    elbv2.create_listener(
        LoadBalancerArn=lb,
        Protocol="HTTP",
        Port=8080,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.11", "Port": 8000}])
    elbv2.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "60"}]
    )
    template = {"ImageId": "ami-12345678", "InstanceType": "t3.micro"}
    ec2.create_launch_template(LaunchTemplateName="blue", LaunchTemplateData=template)
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="blue",
        MinSize=1,
        MaxSize=3,
        DesiredCapacity=2,
        LaunchTemplate={"LaunchTemplateName": "blue"},
        VPCZoneIdentifier=",".join(subnets),
    )


def read_network(aws: AwsProcess) -> Any:
    ec2, elbv2 = aws.client("ec2"), aws.client("elbv2")
    listeners = [
        elbv2.describe_listeners(LoadBalancerArn=lb["LoadBalancerArn"])["Listeners"]
        for lb in elbv2.describe_load_balancers()["LoadBalancers"]
    ]
    groups = elbv2.describe_target_groups()["TargetGroups"]
    arn = groups[0]["TargetGroupArn"]
    return [
        plain(ec2.describe_vpcs()),
        plain(ec2.describe_subnets()),
        plain(ec2.describe_instances()),
        plain(elbv2.describe_load_balancers()),
        listeners,
        groups,
        elbv2.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"],
        [
            one["Target"]
            for one in elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        ],
        plain(aws.client("autoscaling").describe_auto_scaling_groups()),
    ]


def s3(aws: AwsProcess) -> None:
    client = aws.client("s3")
    client.create_bucket(Bucket="backups", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_bucket_versioning(Bucket="backups", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two" * 10_000):
        client.put_object(Bucket="backups", Key="dump", Body=body, Metadata={"kind": "postgres"})


def read_s3(aws: AwsProcess) -> Any:
    client = aws.client("s3")
    versions = client.list_object_versions(Bucket="backups")["Versions"]
    bodies = [
        client.get_object(Bucket="backups", Key="dump", VersionId=one["VersionId"])["Body"].read()
        for one in versions
    ]
    return [
        plain({"versions": versions}),
        bodies,
        client.head_object(Bucket="backups", Key="dump")["Metadata"],
    ]


def dynamodb(aws: AwsProcess) -> None:
    client = aws.client("dynamodb")
    client.create_table(
        TableName="releases",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    client.put_item(TableName="releases", Item={"pk": {"S": "lease"}, "token": {"N": "7"}})


def ssm(aws: AwsProcess) -> None:
    client = aws.client("ssm")
    client.put_parameter(
        Name="/superagent/image", Value="v1", Type="String", Tags=[{"Key": "a", "Value": "b"}]
    )
    client.put_parameter(Name="/superagent/image", Value="v2", Type="String", Overwrite=True)


def kms(aws: AwsProcess) -> None:
    client = aws.client("kms")
    client.create_key(Description="backups")
    client.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")


def read_kms(aws: AwsProcess) -> Any:
    client = aws.client("kms")
    keys = [client.describe_key(KeyId=one["KeyId"])["KeyMetadata"] for one in client.list_keys()["Keys"]]
    public = [
        client.get_public_key(KeyId=k["KeyId"])["PublicKey"]
        for k in keys
        if k.get("KeyUsage") == "SIGN_VERIFY"
    ]
    return [plain({"keys": keys}), public]


def lambda_code() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", "def handler(event, context): return 1")
    return buffer.getvalue()


def call(service: str, action: str, **arguments: Any) -> Make:
    return lambda aws: getattr(aws.client(service), action)(**arguments)


def read(service: str, action: str, **arguments: Any) -> Read:
    return lambda aws: plain(getattr(aws.client(service), action)(**arguments))


ROLE = json.dumps({"Version": "2012-10-17", "Statement": []})
ROLE_ARN = "arn:aws:iam::123456789012:role/r"
PLAN: dict[str, Any] = {
    "BackupPlanName": "daily",
    "Rules": [{"RuleName": "r", "TargetBackupVaultName": "v", "ScheduleExpression": "cron(0 5 * * ? *)"}],
}
SEEN = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"}
WAF = {"DefaultAction": {"Allow": {}}, "VisibilityConfig": SEEN}
DB = {
    "MasterUsername": "u",
    "MasterUserPassword": "pw-pw-pw",
    "Engine": "postgres",
    "DBInstanceClass": "db.t4g.small",
    "AllocatedStorage": 20,
}
SERVICES: dict[str, tuple[Make, Read]] = {
    "network": (network, read_network),
    "s3": (s3, read_s3),
    "dynamodb": (dynamodb, read("dynamodb", "scan", TableName="releases")),
    "ssm": (ssm, read("ssm", "get_parameter_history", Name="/superagent/image")),
    "kms": (kms, read_kms),
    "secretsmanager": (
        call("secretsmanager", "create_secret", Name="db", SecretString="s"),
        read("secretsmanager", "get_secret_value", SecretId="db"),
    ),
    "sns": (call("sns", "create_topic", Name="alerts"), read("sns", "list_topics")),
    "sqs": (call("sqs", "create_queue", QueueName="q"), read("sqs", "list_queues")),
    "iam": (
        call("iam", "create_role", RoleName="r", AssumeRolePolicyDocument=ROLE),
        read("iam", "list_roles"),
    ),
    "acm": (call("acm", "request_certificate", DomainName="a.example"), read("acm", "list_certificates")),
    "logs": (call("logs", "create_log_group", logGroupName="g"), read("logs", "describe_log_groups")),
    "rds": (
        call("rds", "create_db_instance", DBInstanceIdentifier="d", **DB),
        read("rds", "describe_db_instances"),
    ),
    "elasticache": (
        call(
            "elasticache", "create_replication_group", ReplicationGroupId="r", ReplicationGroupDescription="d"
        ),
        read("elasticache", "describe_replication_groups"),
    ),
    "events": (
        call("events", "put_rule", Name="r", ScheduleExpression="rate(1 day)"),
        read("events", "list_rules"),
    ),
    "cloudwatch": (
        call(
            "cloudwatch",
            "put_metric_alarm",
            AlarmName="a",
            EvaluationPeriods=1,
            ComparisonOperator="GreaterThanThreshold",
            MetricName="m",
            Namespace="n",
            Period=60,
            Statistic="Sum",
            Threshold=1.0,
        ),
        read("cloudwatch", "describe_alarms"),
    ),
    "ecr": (call("ecr", "create_repository", repositoryName="service"), read("ecr", "describe_repositories")),
    "route53": (
        call("route53", "create_hosted_zone", Name="a.example", CallerReference="1"),
        read("route53", "list_hosted_zones"),
    ),
    "wafv2": (
        call("wafv2", "create_web_acl", Name="w", Scope="REGIONAL", **WAF),
        read("wafv2", "list_web_acls", Scope="REGIONAL"),
    ),
    "backup": (call("backup", "create_backup_plan", BackupPlan=PLAN), read("backup", "list_backup_plans")),
    "eks": (
        call("eks", "create_cluster", name="c", roleArn=ROLE_ARN, resourcesVpcConfig={}),
        read("eks", "describe_cluster", name="c"),
    ),
    "amp": (call("amp", "create_workspace", alias="w"), read("amp", "list_workspaces")),
    "lambda": (
        call(
            "lambda",
            "create_function",
            FunctionName="f",
            Runtime="python3.12",
            Role=ROLE_ARN,
            Handler="main.handler",
            Code={"ZipFile": lambda_code()},
        ),
        read("lambda", "list_functions"),
    ),
}  # fmt: skip


def test_every_service_survives_kill_9(aws_process: AwsProcess) -> None:
    before = {}
    for service, (make, look) in SERVICES.items():
        make(aws_process)
        before[service] = look(aws_process)
    aws_process.kill_and_restart()
    after = {service: look(aws_process) for service, (_, look) in SERVICES.items()}
    for service in SERVICES:
        assert after[service] == before[service], service
    assert "not persisted" not in aws_process.log.read_text()
