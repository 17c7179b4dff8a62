"""Which resource types the local system really has, and the AWS calls that make them: one table.

Every maker finds before it creates, so that a second `up` changes nothing: what a durable emulator still
holds is taken as it is, weights, targets and parameter values included. Everything that is not in `MAKERS`
is recorded only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.stack.offline import Registration

Made = tuple[str, dict[str, Any]]
EMULATED_CREDENTIALS: Final[dict[str, Any]] = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
"""The emulator takes any, but a client will not start without."""
ACCOUNT: Final = "123456789012"
"""The account every emulator speaks for."""


@dataclass(slots=True)
class Aws:
    """boto3 clients of one emulated region, made once each (making one takes longer than using it)."""

    endpoint: str
    region: str
    session: boto3.Session = field(default_factory=lambda: boto3.Session(**EMULATED_CREDENTIALS))
    clients: dict[str, Any] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def __getitem__(self, service: str) -> Any:
        with self.lock:
            if service not in self.clients:
                make: Any = self.session.client
                self.clients[service] = make(
                    service,
                    region_name=self.region,
                    endpoint_url=self.endpoint,
                    config=Config(connect_timeout=3, read_timeout=20, max_pool_connections=32),
                )
            return self.clients[service]


Maker = Callable[[Aws, Registration], Made]


def pairs(tags: dict[str, str] | None) -> list[dict[str, str]]:
    """A map of tags in the form that most AWS APIs want."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def missing(error: ClientError) -> bool:
    """Whether AWS says that the thing is not there (the codes differ from service to service)."""
    code = error.response["Error"]["Code"]
    return "NotFound" in code or code.startswith("NoSuch") or code == "404"


def by_tags(registration: Registration) -> list[dict[str, Any]]:
    """EC2 filter for the resource of this name; names are unique within type and environment."""
    tags = registration.inputs["tags"]
    return [{"Name": f"tag:{key}", "Values": [tags[key]]} for key in ("Name", "Environment")]


def tag_specification(kind: str, registration: Registration) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": pairs(registration.inputs["tags"])}]


def vpc(aws: Aws, want: Registration) -> Made:
    ec2 = aws["ec2"]
    found = ec2.describe_vpcs(Filters=by_tags(want))["Vpcs"]
    if found:
        identity = found[0]["VpcId"]
    else:
        block = want.inputs["cidrBlock"]
        made = ec2.create_vpc(CidrBlock=block, TagSpecifications=tag_specification("vpc", want))
        identity = made["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=identity, EnableDnsHostnames={"Value": True})
    return identity, {"arn": f"arn:aws:ec2:{aws.region}:{ACCOUNT}:vpc/{identity}"}


def subnet(aws: Aws, want: Registration) -> Made:
    ec2, inputs = aws["ec2"], want.inputs
    found = ec2.describe_subnets(Filters=by_tags(want))["Subnets"]
    if found:
        return found[0]["SubnetId"], {}
    made = ec2.create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        AvailabilityZone=inputs["availabilityZone"],
        TagSpecifications=tag_specification("subnet", want),
    )
    return made["Subnet"]["SubnetId"], {}


def internet_gateway(aws: Aws, want: Registration) -> Made:
    ec2 = aws["ec2"]
    found = ec2.describe_internet_gateways(Filters=by_tags(want))["InternetGateways"]
    gateway = (
        found[0]
        if found
        else ec2.create_internet_gateway(TagSpecifications=tag_specification("internet-gateway", want))[
            "InternetGateway"
        ]
    )
    identity: str = gateway["InternetGatewayId"]
    if not gateway.get("Attachments"):
        ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=want.inputs["vpcId"])
    return identity, {}


def route_table(aws: Aws, want: Registration) -> Made:
    ec2 = aws["ec2"]
    found = ec2.describe_route_tables(Filters=by_tags(want))["RouteTables"]
    if found:
        return found[0]["RouteTableId"], {}
    made = ec2.create_route_table(
        VpcId=want.inputs["vpcId"], TagSpecifications=tag_specification("route-table", want)
    )
    return made["RouteTable"]["RouteTableId"], {}


def route(aws: Aws, want: Registration) -> Made:
    ec2, inputs = aws["ec2"], want.inputs
    table, block = inputs["routeTableId"], inputs["destinationCidrBlock"]
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    if all(one.get("DestinationCidrBlock") != block for one in routes):
        way = (
            {"GatewayId": inputs["gatewayId"]}
            if "gatewayId" in inputs
            else {"NatGatewayId": inputs["natGatewayId"]}
        )
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=block, **way)
    return f"{table}_{block}", {}


def address(aws: Aws, want: Registration) -> Made:
    ec2 = aws["ec2"]
    found = ec2.describe_addresses(Filters=by_tags(want))["Addresses"]
    if not found:
        found = [ec2.allocate_address(Domain="vpc", TagSpecifications=tag_specification("elastic-ip", want))]
    return found[0]["AllocationId"], {}


def nat_gateway(aws: Aws, want: Registration) -> Made:
    ec2, inputs = aws["ec2"], want.inputs
    found = ec2.describe_nat_gateways(Filters=by_tags(want))["NatGateways"]
    if found:
        return found[0]["NatGatewayId"], {}
    made = ec2.create_nat_gateway(
        SubnetId=inputs["subnetId"],
        AllocationId=inputs["allocationId"],
        TagSpecifications=tag_specification("natgateway", want),
    )
    return made["NatGateway"]["NatGatewayId"], {}


def route_table_association(aws: Aws, want: Registration) -> Made:
    ec2, inputs = aws["ec2"], want.inputs
    tables = ec2.describe_route_tables(RouteTableIds=[inputs["routeTableId"]])["RouteTables"]
    for one in tables[0]["Associations"]:
        if one.get("SubnetId") == inputs["subnetId"]:
            return one["RouteTableAssociationId"], {}
    made = ec2.associate_route_table(RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"])
    return made["AssociationId"], {}


def security_group(aws: Aws, want: Registration) -> Made:
    ec2, inputs = aws["ec2"], want.inputs
    found = ec2.describe_security_groups(Filters=by_tags(want))["SecurityGroups"]
    if found:
        identity = found[0]["GroupId"]
    else:
        identity = ec2.create_security_group(
            GroupName=inputs.get("name", want.name),
            Description=inputs["description"],
            VpcId=inputs["vpcId"],
            TagSpecifications=tag_specification("security-group", want),
        )["GroupId"]
        # Like the provider: AWS allows everything out by default, the program says what may go out.
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.revoke_security_group_egress(GroupId=identity, IpPermissions=everything)
    return identity, {"arn": f"arn:aws:ec2:{aws.region}:{ACCOUNT}:security-group/{identity}"}


def security_group_rule(direction: str) -> Maker:
    """Maker of one rule; `direction` is `ingress` or `egress`."""

    def make(aws: Aws, want: Registration) -> Made:
        ec2, inputs = aws["ec2"], want.inputs
        permission: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
        if "fromPort" in inputs:
            permission |= {"FromPort": int(inputs["fromPort"]), "ToPort": int(inputs["toPort"])}
        description = inputs.get("description", "")
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], "Description": description}]
        if "referencedSecurityGroupId" in inputs:
            permission["UserIdGroupPairs"] = [
                {"GroupId": inputs["referencedSecurityGroupId"], "Description": description}
            ]
        authorize = getattr(ec2, f"authorize_security_group_{direction}")
        try:
            authorize(GroupId=inputs["securityGroupId"], IpPermissions=[permission])
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                raise
        return f"{inputs['securityGroupId']}-{want.name}", {}

    return make


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


def bucket(aws: Aws, want: Registration) -> Made:
    s3, name = aws["s3"], want.inputs["bucket"]
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if not missing(error):
            raise
        s3.create_bucket(
            Bucket=name,
            ObjectLockEnabledForBucket=bool(want.inputs.get("objectLockEnabled")),
            CreateBucketConfiguration={"LocationConstraint": aws.region},
        )
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": pairs(want.inputs["tags"])})
    return name, {"arn": f"arn:aws:s3:::{name}", "bucket": name}


def bucket_setting(put: Callable[[Any, str, dict[str, Any]], object]) -> Maker:
    """Maker of a bucket's sub-resource; putting the same again changes nothing."""

    def make(aws: Aws, want: Registration) -> Made:
        name = want.inputs["bucket"]
        put(aws["s3"], name, want.inputs)
        return name, {}

    return make


def _versioning(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    s3.put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": inputs["versioningConfiguration"]["status"]}
    )


def _object_lock(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    retention = inputs["rule"]["defaultRetention"]
    s3.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": retention["mode"], "Days": int(retention["days"])}},
        },
    )


def _encryption(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    rules = []
    for rule in inputs["rules"]:
        default = rule["applyServerSideEncryptionByDefault"]
        by_default = {"SSEAlgorithm": default["sseAlgorithm"]}
        if default.get("kmsMasterKeyId"):
            by_default["KMSMasterKeyID"] = default["kmsMasterKeyId"]
        rules.append(
            {
                "ApplyServerSideEncryptionByDefault": by_default,
                "BucketKeyEnabled": rule.get("bucketKeyEnabled", False),
            }
        )
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})


def _public_access(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": inputs["blockPublicAcls"],
            "IgnorePublicAcls": inputs["ignorePublicAcls"],
            "BlockPublicPolicy": inputs["blockPublicPolicy"],
            "RestrictPublicBuckets": inputs["restrictPublicBuckets"],
        },
    )


def _policy(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    policy = inputs["policy"]
    document = json.loads(policy) if isinstance(policy, str) else policy
    # moto judges a statement without its condition: "deny plain HTTP" would deny everything.
    kept = [one for one in document["Statement"] if not (one["Effect"] == "Deny" and "Condition" in one)]
    if kept:
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps({**document, "Statement": kept}))


def _ownership(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    rules = [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": rules})


def _lifecycle(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    rules = [
        {
            "ID": rule["id"],
            "Status": rule["status"],
            "Filter": {"Prefix": rule["filter"]["prefix"]},
            "Expiration": {"Days": rule["expiration"]["days"]},
            "NoncurrentVersionExpiration": {
                "NoncurrentDays": rule["noncurrentVersionExpiration"]["noncurrentDays"]
            },
            "AbortIncompleteMultipartUpload": {
                "DaysAfterInitiation": rule["abortIncompleteMultipartUpload"]["daysAfterInitiation"]
            },
        }
        for rule in inputs["rules"]
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})


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
    "aws:ec2/vpc:Vpc": vpc,
    "aws:ec2/subnet:Subnet": subnet,
    "aws:ec2/internetGateway:InternetGateway": internet_gateway,
    "aws:ec2/routeTable:RouteTable": route_table,
    "aws:ec2/route:Route": route,
    "aws:ec2/eip:Eip": address,
    "aws:ec2/natGateway:NatGateway": nat_gateway,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": route_table_association,
    "aws:ec2/securityGroup:SecurityGroup": security_group,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": security_group_rule("ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": security_group_rule("egress"),
    "aws:lb/loadBalancer:LoadBalancer": load_balancer,
    "aws:lb/targetGroup:TargetGroup": target_group,
    "aws:lb/listener:Listener": listener,
    "aws:s3/bucket:Bucket": bucket,
    "aws:s3/bucketVersioning:BucketVersioning": bucket_setting(_versioning),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": bucket_setting(_object_lock),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": bucket_setting(
        _encryption
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": bucket_setting(_public_access),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": bucket_setting(_ownership),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": bucket_setting(_lifecycle),
    "aws:s3/bucketPolicy:BucketPolicy": bucket_setting(_policy),
    "aws:dynamodb/table:Table": table,
    "aws:ssm/parameter:Parameter": parameter,
    "aws:sns/topic:Topic": topic,
}
