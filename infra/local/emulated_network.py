"""Makers of the network: found by their tags before they are created."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from infra.local.emulated_clients import ACCOUNT, Aws, Made, Maker, by_tags, tag_specification
from infra.stack.offline import Registration


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
    return found[0]["AllocationId"], {"publicIp": found[0]["PublicIp"]}


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
