"""Launch templates, Auto Scaling groups and their policies, EKS, endpoints, flow logs."""

from __future__ import annotations

from typing import Any, Final

from infra.local.emulated_clients import ACCOUNT, Aws
from infra.stack.offline import Registration
from tests.infra.local.moto_kinds.kind import Kind, Made, pascal, pick


def _flags(value: Any) -> Any:
    """Pulumi writes some booleans of a launch template as text."""
    if isinstance(value, dict):
        return {key: _flags(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_flags(item) for item in value]
    return value == "true" if value in ("true", "false") else value


def launch_template(aws: Aws, one: Registration) -> Made:
    ec2, inputs = aws["ec2"], one.inputs
    data = pick(
        inputs, "imageId", "instanceType", "userData", "metadataOptions", "monitoring", "blockDeviceMappings",
        "ebsOptimized", "iamInstanceProfile", SecurityGroupIds="vpcSecurityGroupIds",
    )  # fmt: skip
    data = _flags(data)
    if interfaces := inputs.get("networkInterfaces"):
        data["NetworkInterfaces"] = [
            {
                "AssociatePublicIpAddress": False,
                "DeleteOnTermination": True,
                "Groups": each["securityGroups"],
                "DeviceIndex": 0,
            }
            for each in interfaces
        ]
    data["TagSpecifications"] = [
        {
            "ResourceType": each["resourceType"],
            "Tags": [{"Key": key, "Value": value} for key, value in each["tags"].items()],
        }
        for each in inputs["tagSpecifications"]
    ]
    made = ec2.create_launch_template(LaunchTemplateName=inputs["name"], LaunchTemplateData=data)
    identity = made["LaunchTemplate"]["LaunchTemplateId"]

    def read() -> Any:
        found = ec2.describe_launch_template_versions(LaunchTemplateId=identity, Versions=["$Latest"])
        return found["LaunchTemplateVersions"][0]["LaunchTemplateData"]

    want = {key: value for key, value in data.items() if key != "TagSpecifications"}
    return Made(identity, {"latestVersion": 1}, want, read)


def group(aws: Aws, one: Registration) -> Made:
    scaling, inputs = aws["autoscaling"], one.inputs
    name = inputs["name"]
    request = pick(
        inputs, "minSize", "maxSize", "desiredCapacity", "healthCheckType", "healthCheckGracePeriod",
        "mixedInstancesPolicy", "terminationPolicies", "capacityRebalance",
        TargetGroupARNs="targetGroupArns",
    )  # fmt: skip
    request["VPCZoneIdentifier"] = ",".join(inputs["vpcZoneIdentifiers"])
    tags = [
        pascal(each) | {"ResourceId": name, "ResourceType": "auto-scaling-group"} for each in inputs["tags"]
    ]
    scaling.create_auto_scaling_group(AutoScalingGroupName=name, Tags=tags, **request)

    def read() -> Any:
        (found,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        found["Tags"] = sorted(found["Tags"], key=lambda tag: str(tag["Key"]))
        return found

    arn = f"arn:aws:autoscaling:{aws.region}:{ACCOUNT}:autoScalingGroup:0:autoScalingGroupName/{name}"
    want = request | {"Tags": sorted(tags, key=lambda tag: str(tag["Key"]))}
    return Made(name, {"arn": arn, "name": name}, want, read)


def scaling_policy(aws: Aws, one: Registration) -> Made:
    scaling, inputs = aws["autoscaling"], one.inputs
    name, fleet = inputs["name"], inputs["autoscalingGroupName"]
    request = pick(
        inputs, "policyType", "adjustmentType", "metricAggregationType", "targetTrackingConfiguration",
        "estimatedInstanceWarmup",
    )  # fmt: skip
    if steps := inputs.get("stepAdjustments"):
        bounds = ("metricIntervalLowerBound", "metricIntervalUpperBound")
        request["StepAdjustments"] = [
            {
                "ScalingAdjustment": each["scalingAdjustment"],
                **{key[0].upper() + key[1:]: float(each[key]) for key in bounds if key in each},
            }
            for each in steps
        ]
    scaling.put_scaling_policy(AutoScalingGroupName=fleet, PolicyName=name, **request)

    def read() -> Any:
        found = scaling.describe_policies(AutoScalingGroupName=fleet, PolicyNames=[name])
        return found["ScalingPolicies"][0]

    want = {key: item for key, item in request.items() if key != "EstimatedInstanceWarmup"}
    return Made(name, {"arn": read()["PolicyARN"], "name": name}, want, read)


def cluster(aws: Aws, one: Registration) -> Made:
    eks, inputs = aws["eks"], one.inputs
    name, network = inputs["name"], inputs["vpcConfig"]
    shape = {key: value for key, value in network.items() if value is not None}
    encryption = [inputs["encryptionConfig"]]
    logging = {"clusterLogging": [{"types": inputs["enabledClusterLogTypes"], "enabled": True}]}
    made = eks.create_cluster(
        name=name,
        version=inputs["version"],
        roleArn=inputs["roleArn"],
        resourcesVpcConfig=shape,
        encryptionConfig=encryption,
        logging=logging,
    )["cluster"]
    # EKS makes a group for nodes and control plane; moto does not.
    ec2 = aws["ec2"]
    vpc = ec2.describe_subnets(SubnetIds=shape["subnetIds"][:1])["Subnets"][0]["VpcId"]
    own = ec2.create_security_group(GroupName=f"eks-{name}", Description="eks", VpcId=vpc)["GroupId"]
    outputs = {
        "vpcConfig": {**network, "clusterSecurityGroupId": own},
        "arn": made["arn"],
        "endpoint": made["endpoint"],
        "certificateAuthority": {"data": made["certificateAuthority"]["data"]},
        "name": name,
    }
    want = {
        "version": inputs["version"],
        "roleArn": inputs["roleArn"],
        "encryptionConfig": encryption,
        "logging": logging,
        "resourcesVpcConfig": {"subnetIds": shape["subnetIds"]},
    }
    return Made(name, outputs, want, lambda: eks.describe_cluster(name=name)["cluster"])


def nodes(aws: Aws, one: Registration) -> Made:
    eks, inputs = aws["eks"], one.inputs
    home = inputs["clusterName"]
    want = {
        "subnets": inputs["subnetIds"],
        "nodeRole": inputs["nodeRoleArn"],
        "amiType": inputs["amiType"],
        "instanceTypes": inputs["instanceTypes"],
        "scalingConfig": inputs["scalingConfig"],
        "launchTemplate": inputs["launchTemplate"],
    }
    eks.create_nodegroup(clusterName=home, nodegroupName=one.name, **want)

    def read() -> Any:
        return eks.describe_nodegroup(clusterName=home, nodegroupName=one.name)["nodegroup"]

    return Made(f"{home}:{one.name}", {}, want, read)


def endpoint(aws: Aws, one: Registration) -> Made:
    ec2, inputs = aws["ec2"], one.inputs
    request = pick(
        inputs, "vpcId", "serviceName", "vpcEndpointType", "subnetIds", "securityGroupIds", "routeTableIds",
        "privateDnsEnabled",
    )  # fmt: skip
    if policy := inputs.get("policy"):
        request["PolicyDocument"] = policy
    identity = ec2.create_vpc_endpoint(**request)["VpcEndpoint"]["VpcEndpointId"]
    want = {key: value for key, value in request.items() if key not in ("SecurityGroupIds", "PolicyDocument")}

    def read() -> Any:
        return ec2.describe_vpc_endpoints(VpcEndpointIds=[identity])["VpcEndpoints"][0]

    return Made(identity, {}, want, read)


def flow_log(aws: Aws, one: Registration) -> Made:
    ec2, inputs = aws["ec2"], one.inputs
    made = ec2.create_flow_logs(
        ResourceIds=[inputs["vpcId"]],
        ResourceType="VPC",
        TrafficType=inputs["trafficType"],
        LogDestinationType="cloud-watch-logs",
        LogGroupName=inputs["logDestination"].split(":log-group:")[1],
        DeliverLogsPermissionArn=inputs["iamRoleArn"],
        MaxAggregationInterval=inputs["maxAggregationInterval"],
    )
    (identity,) = made["FlowLogIds"]
    want = {"TrafficType": "ALL", "ResourceId": inputs["vpcId"]} | pick(inputs, "maxAggregationInterval")
    return Made(identity, {}, want, lambda: ec2.describe_flow_logs(FlowLogIds=[identity])["FlowLogs"][0])


KINDS: Final[dict[str, Kind]] = {
    "aws:ec2/launchTemplate:LaunchTemplate": launch_template,
    "aws:autoscaling/group:Group": group,
    "aws:autoscaling/policy:Policy": scaling_policy,
    "aws:eks/cluster:Cluster": cluster,
    "aws:eks/nodeGroup:NodeGroup": nodes,
    "aws:ec2/vpcEndpoint:VpcEndpoint": endpoint,
    "aws:ec2/flowLog:FlowLog": flow_log,
}
