"""Which changed input makes AWS build a resource anew: one table, for what hurts or happens often.

Source: "Forces new resource" in the pages of pulumi-aws 7.51. A type that is not here is taken to change in
place; the engine's own preview has the last word.
"""

from __future__ import annotations

from typing import Final

REPLACES: Final[dict[str, frozenset[str]]] = {
    kind: frozenset(keys)
    for kind, keys in {
        "aws:ec2/vpc:Vpc": ("cidrBlock", "instanceTenancy", "region"),
        "aws:ec2/subnet:Subnet": ("availabilityZone", "cidrBlock", "vpcId", "region"),
        "aws:ec2/natGateway:NatGateway": ("allocationId", "subnetId"),
        "aws:ec2/securityGroup:SecurityGroup": ("name", "namePrefix", "description", "vpcId"),
        "aws:ec2/launchTemplate:LaunchTemplate": ("name", "namePrefix"),
        "aws:ec2/vpcEndpoint:VpcEndpoint": ("vpcId", "serviceName", "vpcEndpointType"),
        "aws:ec2/flowLog:FlowLog": ("vpcId", "trafficType", "logDestination", "iamRoleArn"),
        "aws:autoscaling/group:Group": ("name", "namePrefix"),
        "aws:lb/loadBalancer:LoadBalancer": ("name", "internal", "loadBalancerType"),
        "aws:lb/targetGroup:TargetGroup": ("name", "port", "protocol", "targetType", "vpcId"),
        "aws:lb/listener:Listener": ("loadBalancerArn",),
        "aws:rds/instance:Instance": (
            "dbName", "username", "storageEncrypted", "kmsKeyId", "engine", "availabilityZone",
            "snapshotIdentifier", "characterSetName", "timezone", "region", "restoreToPointInTime",
        ),
        "aws:rds/parameterGroup:ParameterGroup": ("name", "family", "description"),
        "aws:rds/subnetGroup:SubnetGroup": ("name",),
        "aws:elasticache/replicationGroup:ReplicationGroup": (
            "replicationGroupId", "atRestEncryptionEnabled", "kmsKeyId", "port", "subnetGroupName",
            "snapshotName", "dataTieringEnabled",
        ),
        "aws:elasticache/parameterGroup:ParameterGroup": ("name", "family"),
        "aws:elasticache/subnetGroup:SubnetGroup": ("name",),
        "aws:s3/bucket:Bucket": ("bucket", "bucketPrefix", "objectLockEnabled", "region"),
        "aws:dynamodb/table:Table": ("name", "hashKey", "rangeKey"),
        "aws:ssm/parameter:Parameter": ("name", "dataType"),
        "aws:secretsmanager/secret:Secret": ("name", "namePrefix"),
        "aws:kms/key:Key": ("customerMasterKeySpec", "keyUsage", "multiRegion"),
        "aws:kms/alias:Alias": ("name",),
        "aws:ecr/repository:Repository": ("name", "encryptionConfigurations"),
        "aws:iam/role:Role": ("name", "namePrefix", "path"),
        "aws:iam/instanceProfile:InstanceProfile": ("name",),
        "aws:cloudwatch/logGroup:LogGroup": ("name", "namePrefix", "logGroupClass"),
        "aws:sns/topic:Topic": ("name", "fifoTopic"),
        "aws:backup/vault:Vault": ("name", "kmsKeyArn"),
        "aws:backup/selection:Selection": ("name", "planId", "iamRoleArn", "resources"),
        "aws:amp/workspace:Workspace": ("kmsKeyArn",),
        "aws:eks/cluster:Cluster": ("name", "roleArn", "encryptionConfig", "bootstrapSelfManagedAddons"),
        "aws:eks/nodeGroup:NodeGroup": (
            "clusterName", "nodeGroupName", "nodeRoleArn", "subnetIds", "instanceTypes", "amiType",
        ),
        "aws:acm/certificate:Certificate": ("domainName", "keyAlgorithm", "validationMethod"),
        "aws:wafv2/webAcl:WebAcl": ("name", "scope"),
        "aws:route53/record:Record": ("name", "type", "zoneId"),
    }.items()
}  # fmt: skip
