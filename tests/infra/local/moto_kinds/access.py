"""IAM, KMS, Secrets Manager, ECR."""

from __future__ import annotations

import json
from typing import Any, Final

from infra.local.emulated_clients import Aws
from infra.stack.offline import Registration
from tests.infra.local.moto_kinds.kind import Kind, Made, pick


def role(aws: Aws, one: Registration) -> Made:
    iam, name, trust = aws["iam"], one.inputs["name"], one.inputs["assumeRolePolicy"]
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=trust, Description=one.inputs["description"]
    )
    want = {"AssumeRolePolicyDocument": json.loads(trust), "Description": one.inputs["description"]}
    outputs = {"arn": made["Role"]["Arn"], "name": name}
    return Made(name, outputs, want, lambda: iam.get_role(RoleName=name)["Role"])


def role_policy(aws: Aws, one: Registration) -> Made:
    iam, policy = aws["iam"], one.inputs["policy"]
    key = {"RoleName": one.inputs["role"], "PolicyName": one.name}
    iam.put_role_policy(**key, PolicyDocument=policy)
    want = {"PolicyDocument": json.loads(policy)}
    return Made(f"{one.inputs['role']}:{one.name}", {}, want, lambda: iam.get_role_policy(**key))


def attachment(aws: Aws, one: Registration) -> Made:
    iam, role, arn = aws["iam"], one.inputs["role"], one.inputs["policyArn"]
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)

    def read() -> Any:
        found = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        return arn in [each["PolicyArn"] for each in found]

    return Made(f"{role}-{arn}", {}, True, read)


def instance_profile(aws: Aws, one: Registration) -> Made:
    iam, name = aws["iam"], one.inputs["name"]
    made = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=one.inputs["role"])
    return Made(
        name,
        {"arn": made["Arn"], "name": name},
        {"Roles": [{"RoleName": one.inputs["role"]}]},
        lambda: iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"],
    )


def issuer(aws: Aws, one: Registration) -> Made:
    iam = aws["iam"]
    clients = one.inputs["clientIdLists"]
    arn = iam.create_open_id_connect_provider(
        Url=one.inputs["url"], ClientIDList=clients, ThumbprintList=["0" * 40]
    )["OpenIDConnectProviderArn"]
    return Made(
        arn,
        {"arn": arn},
        {"ClientIDList": clients},
        lambda: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn),
    )


def key(aws: Aws, one: Registration) -> Made:
    kms, policy = aws["kms"], one.inputs["policy"]
    usage = one.inputs.get("keyUsage", "ENCRYPT_DECRYPT")
    spec = one.inputs.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT")
    made = kms.create_key(Description=one.inputs["description"], Policy=policy, KeyUsage=usage, KeySpec=spec)[
        "KeyMetadata"
    ]
    identity = made["KeyId"]
    rotates = one.inputs.get("enableKeyRotation", False)
    if rotates:
        kms.enable_key_rotation(KeyId=identity)

    def read() -> Any:
        return {
            "usage": kms.describe_key(KeyId=identity)["KeyMetadata"]["KeyUsage"],
            # KMS answers this for keys that can rotate alone.
            "rotation": rotates and kms.get_key_rotation_status(KeyId=identity)["KeyRotationEnabled"],
            "policy": kms.get_key_policy(KeyId=identity, PolicyName="default")["Policy"],
            "description": kms.describe_key(KeyId=identity)["KeyMetadata"]["Description"],
        }

    want = {
        "usage": usage,
        "rotation": rotates,
        "policy": json.loads(policy),
        "description": one.inputs["description"],
    }
    return Made(identity, {"arn": made["Arn"], "keyId": identity}, want, read)


def alias(aws: Aws, one: Registration) -> Made:
    kms, name, target = aws["kms"], one.inputs["name"], one.inputs["targetKeyId"]
    kms.create_alias(AliasName=name, TargetKeyId=target)
    return Made(name, {"name": name}, {"KeyId": target}, lambda: kms.describe_key(KeyId=name)["KeyMetadata"])


def secret(aws: Aws, one: Registration) -> Made:
    box = aws["secretsmanager"]
    want = pick(one.inputs, "name", "kmsKeyId", "description")
    arn = box.create_secret(**want)["ARN"]
    outputs = {"arn": arn, "name": one.inputs["name"]}
    return Made(arn, outputs, want, lambda: box.describe_secret(SecretId=arn))


def secret_version(aws: Aws, one: Registration) -> Made:
    box, where = aws["secretsmanager"], one.inputs["secretId"]
    box.put_secret_value(SecretId=where, SecretString=one.inputs["secretStringWo"])
    want = {"SecretString": one.inputs["secretStringWo"]}
    return Made(f"{where}|1", {}, want, lambda: box.get_secret_value(SecretId=where))


def repository(aws: Aws, one: Registration) -> Made:
    ecr, name = aws["ecr"], one.inputs["name"]
    (encryption,) = one.inputs["encryptionConfigurations"]
    want = {
        "imageTagMutability": one.inputs["imageTagMutability"],
        "imageScanningConfiguration": one.inputs["imageScanningConfiguration"],
        "encryptionConfiguration": encryption,
    }
    made = ecr.create_repository(repositoryName=name, **want)["repository"]
    outputs = {"arn": made["repositoryArn"], "repositoryUrl": made["repositoryUri"], "name": name}
    return Made(
        name, outputs, want, lambda: ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    )


def image_lifecycle(aws: Aws, one: Registration) -> Made:
    ecr, name, text = aws["ecr"], one.inputs["repository"], one.inputs["policy"]
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)
    want = {"lifecyclePolicyText": json.loads(text)}
    return Made(name, {}, want, lambda: ecr.get_lifecycle_policy(repositoryName=name))


KINDS: Final[dict[str, Kind]] = {
    "aws:iam/role:Role": role,
    "aws:iam/rolePolicy:RolePolicy": role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": attachment,
    "aws:iam/instanceProfile:InstanceProfile": instance_profile,
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": issuer,
    "aws:kms/key:Key": key,
    "aws:kms/alias:Alias": alias,
    "aws:secretsmanager/secret:Secret": secret,
    "aws:secretsmanager/secretVersion:SecretVersion": secret_version,
    "aws:ecr/repository:Repository": repository,
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": image_lifecycle,
}
