"""What AWS and Kubernetes would answer: plausible ids, ARNs and computed outputs, the same at every run.

Only outputs that the program reads have to be here; a missing one makes the run fail, loudly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from infra.stack.offline import Registration

ACCOUNT: Final = "123456789012"
REGION: Final = "eu-central-1"

# type -> service and resource part of the ARN, `{}` being the physical name
ARNS: Final[dict[str, tuple[str, str]]] = {
    "aws:s3/bucket:Bucket": ("s3", "{}"),
    "aws:lb/loadBalancer:LoadBalancer": ("elasticloadbalancing", "loadbalancer/app/{}/0123456789abcdef"),
    "aws:lb/targetGroup:TargetGroup": ("elasticloadbalancing", "targetgroup/{}/0123456789abcdef"),
    "aws:lb/listener:Listener": ("elasticloadbalancing", "listener/app/alb/0123456789abcdef/{}"),
    "aws:dynamodb/table:Table": ("dynamodb", "table/{}"),
    "aws:ssm/parameter:Parameter": ("ssm", "parameter{}"),
    "aws:sns/topic:Topic": ("sns", "{}"),
    "aws:kms/key:Key": ("kms", "key/{}"),
    "aws:iam/role:Role": ("iam", "role/{}"),
    "aws:iam/instanceProfile:InstanceProfile": ("iam", "instance-profile/{}"),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": (
        "iam",
        "oidc-provider/token.actions.githubusercontent.com",
    ),
    "aws:secretsmanager/secret:Secret": ("secretsmanager", "secret:{}-AbCdEf"),
    "aws:cloudwatch/logGroup:LogGroup": ("logs", "log-group:{}"),
    "aws:ecr/repository:Repository": ("ecr", "repository/{}"),
    "aws:rds/instance:Instance": ("rds", "db:{}"),
    "aws:backup/vault:Vault": ("backup", "backup-vault:{}"),
    "aws:amp/workspace:Workspace": ("aps", "workspace/{}"),
    "aws:eks/cluster:Cluster": ("eks", "cluster/{}"),
    "aws:acm/certificate:Certificate": ("acm", "certificate/{}"),
    "aws:wafv2/webAcl:WebAcl": ("wafv2", "regional/webacl/{}/0123"),
    "aws:autoscaling/policy:Policy": ("autoscaling", "scalingPolicy:0123:policyName/{}"),
}
WITHOUT_REGION: Final = ("s3", "iam")


def invented(text: str) -> bool:
    """Whether a recorded text holds what only the answers below made up: an ARN, an address, a key."""
    return any(mark in text for mark in (ACCOUNT, ".abc.", "/workspaces/", "0123.gr7."))


def physical_name(one: Registration) -> str:
    """The name in AWS: the given one, else the logical one."""
    for key in ("bucket", "identifier", "name", "replicationGroupId", "alias"):
        if isinstance(one.inputs.get(key), str) and (key != "bucket" or one.type.endswith(":Bucket")):
            return str(one.inputs[key])
    return one.name


def arn(one: Registration) -> str:
    """The ARN that AWS would give."""
    service, resource = ARNS.get(one.type, (one.type.split(":")[1].split("/")[0], one.name))
    if service == "s3":
        return f"arn:aws:s3:::{resource.format(physical_name(one))}"
    region = "" if service in WITHOUT_REGION else one.inputs.get("region", REGION)
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{resource.format(physical_name(one))}"


def _load_balancer(one: Registration) -> dict[str, Any]:
    return {
        "dnsName": f"{physical_name(one)}-1.{REGION}.elb.amazonaws.com",
        "zoneId": "Z215JYRZR1TBD5",
        "arnSuffix": arn(one).split(":loadbalancer/")[1],
    }


def _certificate(one: Registration) -> dict[str, Any]:
    domain = one.inputs["domainName"]
    proof = {
        "domainName": domain,
        "resourceRecordName": f"_proof.{domain}.",
        "resourceRecordType": "CNAME",
        "resourceRecordValue": "_value.acm-validations.aws.",
    }
    return {"domainValidationOptions": [proof]}


def _database(one: Registration) -> dict[str, Any]:
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!db-0123"
    return {
        "address": f"{physical_name(one)}.abc.{REGION}.rds.amazonaws.com",
        "masterUserSecrets": [{"secretArn": secret, "secretStatus": "active", "kmsKeyId": "key"}],
    }


OUTPUTS: Final[dict[str, Callable[[Registration], dict[str, Any]]]] = {
    "aws:ec2/eip:Eip": lambda one: {"publicIp": f"198.51.100.{ord(one.name[-1])}"},
    "aws:lb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:lb/targetGroup:TargetGroup": lambda one: {"arnSuffix": arn(one).split(":")[-1]},
    "aws:acm/certificate:Certificate": _certificate,
    "aws:route53/record:Record": lambda one: {"fqdn": str(one.inputs["name"]).rstrip(".")},
    "aws:kms/key:Key": lambda one: {"keyId": f"{one.name}-key"},
    "aws:rds/instance:Instance": _database,
    "aws:elasticache/replicationGroup:ReplicationGroup": lambda one: {
        "primaryEndpointAddress": f"master.{physical_name(one)}.abc.euc1.cache.amazonaws.com"
    },
    "aws:ecr/repository:Repository": lambda one: {
        "repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{physical_name(one)}"
    },
    "aws:amp/workspace:Workspace": lambda one: {
        "prometheusEndpoint": f"https://aps-workspaces.{REGION}.amazonaws.com/workspaces/{one.name}/"
    },
    "aws:ec2/launchTemplate:LaunchTemplate": lambda one: {"latestVersion": 1},
    "aws:eks/cluster:Cluster": lambda one: {
        "endpoint": "https://0123.gr7.eu-central-1.eks.amazonaws.com",
        "certificateAuthority": {"data": "Y2VydGlmaWNhdGU="},
        "vpcConfig": {**one.inputs["vpcConfig"], "clusterSecurityGroupId": "sg-cluster"},
    },
    "aws:acm/certificateValidation:CertificateValidation": lambda one: {
        "certificateArn": one.inputs["certificateArn"]
    },
}

INVOKES: Final[dict[str, dict[str, Any]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:role/preview",
        "id": ACCOUNT,
        "userId": "preview",
    },
    "aws:secretsmanager/getSecretVersion:getSecretVersion": {
        "secretString": "kept-in-secrets-manager",
        "arn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:cache",
        "createdDate": "2026-01-01T00:00:00Z",
        "id": "kept",
        "region": REGION,
        "secretBinary": "",
        "versionId": "kept",
        "versionStages": ["AWSCURRENT"],
    },
    "aws:secretsmanager/getRandomPassword:getRandomPassword": {
        "randomPassword": "generated-by-secrets-manager",
        "id": "generated",
    },
}


def answer(one: Registration) -> tuple[str, dict[str, Any]]:
    """Id and outputs of a resource that is only recorded."""
    if not one.type.startswith("aws:"):
        return one.name, dict(one.inputs)
    compute = OUTPUTS.get(one.type)
    computed = compute(one) if compute else {}
    by_name = {"name": physical_name(one)} if "name" not in one.inputs else {}
    by_bucket = {"bucket": physical_name(one)} if one.type == "aws:s3/bucket:Bucket" else {}
    return f"{one.name}-id", {**one.inputs, "arn": arn(one), **by_name, **by_bucket, **computed}


def call(token: str, args: dict[str, Any]) -> dict[str, Any]:
    """Answer of an invoke; unknown ones fail with their name."""
    if token not in INVOKES:
        raise NotImplementedError(f"infra/preview/answers.py has no answer for {token}")
    return {**args, **INVOKES[token]}
