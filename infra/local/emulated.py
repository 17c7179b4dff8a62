"""Which resource types the local system really has, and the AWS calls that make them: one table.

Every maker finds before it creates, so that a second `up` changes nothing: what a durable emulator still
holds is taken as it is, weights, targets and parameter values included. Everything that is not in `MAKERS`
is recorded only.
"""

from __future__ import annotations

from typing import Any, Final

from botocore.exceptions import ClientError

from infra.local import emulated_buckets as buckets
from infra.local import emulated_network as network
from infra.local.emulated_clients import ACCOUNT, Aws, Made, Maker, missing, pairs
from infra.stack.offline import Registration


def load_balancer(aws: Aws, want: Registration) -> Made:
    elb, inputs = aws["elbv2"], want.inputs
    try:
        one = elb.describe_load_balancers(Names=[inputs["name"]])["LoadBalancers"][0]
    except ClientError as error:
        if not missing(error):
            raise
        one = elb.create_load_balancer(
            Name=inputs["name"],
            Subnets=inputs["subnets"],
            SecurityGroups=inputs["securityGroups"],
            Scheme="internal" if inputs.get("internal") else "internet-facing",
            Type=inputs["loadBalancerType"],
            Tags=pairs(inputs["tags"]),
        )["LoadBalancers"][0]
    arn = one["LoadBalancerArn"]
    attributes = {
        "idle_timeout.timeout_seconds": inputs["idleTimeout"],
        "routing.http.drop_invalid_header_fields.enabled": inputs["dropInvalidHeaderFields"],
        "deletion_protection.enabled": inputs["enableDeletionProtection"],
    }
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=pairs(_texts(attributes)))
    suffix = arn.split(":loadbalancer/")[1]
    return arn, {
        "arn": arn,
        "dnsName": one["DNSName"],
        "zoneId": one.get("CanonicalHostedZoneId", ""),
        "arnSuffix": suffix,
    }


def target_group(aws: Aws, want: Registration) -> Made:
    elb, inputs = aws["elbv2"], want.inputs
    check, sticky = inputs["healthCheck"], inputs["stickiness"]
    health = {
        "HealthCheckEnabled": check["enabled"],
        "HealthCheckProtocol": check["protocol"],
        "HealthCheckPath": check["path"],
        "HealthCheckIntervalSeconds": int(check["interval"]),
        "HealthCheckTimeoutSeconds": int(check["timeout"]),
        "HealthyThresholdCount": int(check["healthyThreshold"]),
        "UnhealthyThresholdCount": int(check["unhealthyThreshold"]),
        "Matcher": {"HttpCode": check["matcher"]},
    }
    # The emulator keeps one target group for ever, so the logical name serves as the physical one.
    name = inputs.get("name", want.name)
    try:
        arn = elb.describe_target_groups(Names=[name])["TargetGroups"][0]["TargetGroupArn"]
        elb.modify_target_group(TargetGroupArn=arn, **health)
    except ClientError as error:
        if not missing(error):
            raise
        arn = elb.create_target_group(
            Name=name,
            Protocol=inputs["protocol"],
            Port=int(inputs["port"]),
            VpcId=inputs["vpcId"],
            TargetType=inputs["targetType"],
            Tags=pairs(inputs["tags"]),
            **health,
        )["TargetGroups"][0]["TargetGroupArn"]
    attributes = {
        "deregistration_delay.timeout_seconds": inputs["deregistrationDelay"],
        "load_balancing.algorithm.type": inputs["loadBalancingAlgorithmType"],
        "stickiness.enabled": sticky["enabled"],
        "stickiness.type": sticky["type"],
        "stickiness.lb_cookie.duration_seconds": sticky["cookieDuration"],
    }
    elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=pairs(_texts(attributes)))
    return arn, {"arn": arn, "name": name, "arnSuffix": arn.split(":")[-1]}


def listener(aws: Aws, want: Registration) -> Made:
    """Found by its Name tag, so another port moves it; its actions stay the release tool's."""
    elb, inputs = aws["elbv2"], want.inputs
    port, name = int(inputs["port"]), inputs["tags"]["Name"]
    for one in elb.describe_listeners(LoadBalancerArn=inputs["loadBalancerArn"])["Listeners"]:
        arn: str = one["ListenerArn"]
        tags = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
        if {"Key": "Name", "Value": name} in tags:
            if one["Port"] != port:
                elb.modify_listener(ListenerArn=arn, Port=port)
            return arn, {"arn": arn}
    made = elb.create_listener(
        LoadBalancerArn=inputs["loadBalancerArn"],
        Protocol=inputs["protocol"],
        Port=port,
        **_tls(inputs),
        DefaultActions=[_action(action) for action in inputs["defaultActions"]],
        Tags=pairs(inputs["tags"]),
    )
    arn = made["Listeners"][0]["ListenerArn"]
    return arn, {"arn": arn}


def _tls(inputs: dict[str, Any]) -> dict[str, Any]:
    if inputs["protocol"] != "HTTPS":
        return {}
    return {
        "SslPolicy": inputs["sslPolicy"],
        "Certificates": [{"CertificateArn": inputs["certificateArn"]}],
    }


def _action(action: dict[str, Any]) -> dict[str, Any]:
    """A listener action in ELBv2's words."""
    if action["type"] == "redirect":
        redirect = action["redirect"]
        return {
            "Type": "redirect",
            "RedirectConfig": {
                "Protocol": redirect["protocol"],
                "Port": redirect["port"],
                "StatusCode": redirect["statusCode"],
            },
        }
    forward = action["forward"]
    return {
        "Type": "forward",
        "Order": 1,
        "ForwardConfig": {
            "TargetGroups": [
                {"TargetGroupArn": group["arn"], "Weight": int(group["weight"])}
                for group in forward["targetGroups"]
            ],
            "TargetGroupStickinessConfig": {
                "Enabled": forward["stickiness"]["enabled"],
                "DurationSeconds": int(forward["stickiness"]["duration"]),
            },
        },
    }


def _texts(attributes: dict[str, Any]) -> dict[str, str]:
    """ELBv2 attributes are text: `true`, `300`."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in attributes.items()
    }


def table(aws: Aws, want: Registration) -> Made:
    dynamodb, inputs = aws["dynamodb"], want.inputs
    name = inputs["name"]
    try:
        arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    except ClientError as error:
        if not missing(error):
            raise
        keys = [("hashKey", "HASH"), ("rangeKey", "RANGE")]
        arn = dynamodb.create_table(
            TableName=name,
            BillingMode=inputs["billingMode"],
            KeySchema=[
                {"AttributeName": inputs[key], "KeyType": kind} for key, kind in keys if key in inputs
            ],
            AttributeDefinitions=[
                {"AttributeName": one["name"], "AttributeType": one["type"]} for one in inputs["attributes"]
            ],
            DeletionProtectionEnabled=bool(inputs.get("deletionProtectionEnabled")),
            Tags=pairs(inputs["tags"]),
        )["TableDescription"]["TableArn"]
        if (inputs.get("pointInTimeRecovery") or {}).get("enabled"):
            dynamodb.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
    return name, {"arn": arn, "name": name}


def parameter(aws: Aws, want: Registration) -> Made:
    """Created once; the value belongs to the release and recovery tools."""
    ssm, inputs = aws["ssm"], want.inputs
    try:
        ssm.get_parameter(Name=inputs["name"])
    except ClientError as error:
        if not missing(error):
            raise
        ssm.put_parameter(
            Name=inputs["name"],
            Type=inputs["type"],
            Value=inputs["value"],
            Description=inputs.get("description", ""),
            Tags=pairs(inputs["tags"]),
        )
    arn = f"arn:aws:ssm:{aws.region}:{ACCOUNT}:parameter{inputs['name']}"
    return inputs["name"], {"arn": arn, "name": inputs["name"]}


def topic(aws: Aws, want: Registration) -> Made:
    """CreateTopic is idempotent by name in AWS itself."""
    inputs = want.inputs
    arn = aws["sns"].create_topic(Name=inputs["name"], Tags=pairs(inputs["tags"]))["TopicArn"]
    return arn, {"arn": arn, "name": inputs["name"]}


MAKERS: Final[dict[str, Maker]] = {
    "aws:ec2/vpc:Vpc": network.vpc,
    "aws:ec2/subnet:Subnet": network.subnet,
    "aws:ec2/internetGateway:InternetGateway": network.internet_gateway,
    "aws:ec2/routeTable:RouteTable": network.route_table,
    "aws:ec2/route:Route": network.route,
    "aws:ec2/eip:Eip": network.address,
    "aws:ec2/natGateway:NatGateway": network.nat_gateway,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": network.route_table_association,
    "aws:ec2/securityGroup:SecurityGroup": network.security_group,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": network.security_group_rule("ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": network.security_group_rule("egress"),
    "aws:lb/loadBalancer:LoadBalancer": load_balancer,
    "aws:lb/targetGroup:TargetGroup": target_group,
    "aws:lb/listener:Listener": listener,
    "aws:s3/bucket:Bucket": buckets.bucket,
    "aws:s3/bucketVersioning:BucketVersioning": buckets.setting(buckets.versioning),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": buckets.setting(buckets.locked),
    buckets.ENCRYPTION: buckets.setting(buckets.encryption),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": buckets.setting(buckets.public_access),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": buckets.setting(buckets.ownership),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": buckets.setting(buckets.lifecycle),
    "aws:s3/bucketPolicy:BucketPolicy": buckets.setting(buckets.policy),
    "aws:dynamodb/table:Table": table,
    "aws:ssm/parameter:Parameter": parameter,
    "aws:sns/topic:Topic": topic,
}
