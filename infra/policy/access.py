"""Rules for access: IAM, instance metadata, TLS, secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.policy.data import CACHE, CLUSTER, LAUNCH_TEMPLATE
from infra.policy.model import Complaint, Estate, Resource, walk

LISTENER: Final = "aws:lb/listener:Listener"
POLICY_INPUTS: Final = {
    "aws:iam/rolePolicy:RolePolicy": "policy",
    "aws:iam/policy:Policy": "policy",
    "aws:sns/topicPolicy:TopicPolicy": "policy",
    "aws:s3/bucketPolicy:BucketPolicy": "policy",
}
READS: Final = re.compile(r"^[\w-]+:(Describe|List|Get|Look|View|Batch?Get)\w*\*?$")
# Statement -> why its wildcard resource is right.
REASONS: Final = {
    "ScalingMetrics": "PutMetricData knows no resource; the condition names the one namespace",
    "Look": "read-only; the Describe calls know no resource",
}
FORBIDDEN_MANAGED: Final = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")
# Attachment -> why it may be one of those.
MANAGED_REASONS: Final = {
    "deploy-PowerUserAccess": "whoever runs `pulumi up` makes all that the program declares; GitHub's "
    "reviewed environment alone may assume it, and its IAM ends at this environment's names",
}
SECRET_KEY: Final = re.compile(
    r"(password|passwd|secretstring|authtoken|privatekey|apikey|accesskey|token)(wo)?$", re.IGNORECASE
)
SECRET_TEXT: Final = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bsk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}"
)
NOT_SECRET: Final = frozenset({"manageMasterUserPassword", "httpTokens"})
UNRESOLVED: Final = "Calling __str__ on an Output"


def statements(one: Resource) -> list[Mapping[str, Any]]:
    """Statements of the policy that a resource carries; empty when it carries none."""
    policy = one.at(POLICY_INPUTS.get(one.type, ""), None)
    if policy is None:
        return []
    document = json.loads(policy) if isinstance(policy, str) else policy
    found = document["Statement"]
    return found if isinstance(found, list) else [found]


def texts(value: Any) -> list[str]:
    """IAM writes one string or a list of them."""
    return [value] if isinstance(value, str) else list(value or [])


def least_privilege(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of(*POLICY_INPUTS):
        for statement in statements(one):
            if statement.get("Effect") != "Allow":
                continue
            sid = statement.get("Sid", "?")
            actions, resources = texts(statement.get("Action")), texts(statement.get("Resource"))
            for action in actions:
                if action == "*" or action.endswith(":*"):
                    yield one, f"statement {sid} allows {action}: name the actions"
            writes = [action for action in actions if not READS.match(action)]
            if "*" in resources and writes and sid not in REASONS:
                yield one, f"statement {sid} may {writes[0]} on everything: name the resources, or a reason"
            if any(action.startswith("rds-db:") for action in actions):
                users = [text.rpartition("/")[2] for text in resources]
                if any("*" in user or not user for user in users):
                    yield one, f"statement {sid} connects as any user of a database: name the one"
            if "NotAction" in statement or "NotResource" in statement:
                yield one, f"statement {sid} allows by exclusion: name what it allows"
    for one in estate.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment"):
        policy = str(one.at("policyArn", "")).rsplit("/", 1)[-1]
        if policy in FORBIDDEN_MANAGED and one.name not in MANAGED_REASONS:
            yield one, f"attaches {policy}: write a policy with the actions that are needed"


def trust(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of("aws:iam/role:Role"):
        raw = one.at("assumeRolePolicy", "{}")
        document = json.loads(raw) if isinstance(raw, str) else raw
        for statement in document.get("Statement", []):
            principal = statement.get("Principal", {})
            if principal == "*" or (isinstance(principal, Mapping) and principal.get("AWS") == "*"):
                yield one, "may be assumed by anybody: name the principal"
            if isinstance(principal, Mapping) and "Federated" in principal:
                subjects = [
                    text
                    for condition in statement.get("Condition", {}).values()
                    for key, value in condition.items()
                    if key.endswith(":sub")
                    for text in texts(value)
                ]
                if not subjects or any("*" in subject for subject in subjects):
                    yield one, "trusts every workflow: pin `sub` to repository and environment"


def metadata(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of(LAUNCH_TEMPLATE):
        if one.at("metadataOptions.httpTokens") != "required":
            yield one, "answers metadata requests without a token: set httpTokens to required (IMDSv2)"
        for interface in one.at("networkInterfaces", []):
            if str(interface.get("associatePublicIpAddress")).lower() == "true":
                yield one, "gives instances public addresses: set associatePublicIpAddress to false"


def tls(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of(LISTENER):
        redirects = [action.get("type") for action in one.at("defaultActions", [])] == ["redirect"]
        if one.at("protocol") != "HTTPS":
            if not redirects:
                yield one, "serves plain HTTP: set protocol to HTTPS with a certificate"
        elif "TLS13" not in str(one.at("sslPolicy")):
            yield one, "speaks old TLS: set sslPolicy to an ELBSecurityPolicy-TLS13 one"
    for one in estate.of(CACHE):
        if one.at("transitEncryptionMode") != "required" or not one.at("transitEncryptionEnabled"):
            yield one, "takes plain connections: set transitEncryptionMode to required"
    for one in estate.of("aws:rds/parameterGroup:ParameterGroup"):
        values = {item["name"]: item["value"] for item in one.at("parameters", [])}
        if values.get("rds.force_ssl") != "1":
            yield one, "takes plain connections: set rds.force_ssl to 1"


def secrets(estate: Estate) -> Iterator[Complaint]:
    for one in estate.resources:
        hidden = tuple(one.secrets)
        for path, value in walk(one.inputs):
            if not isinstance(value, str) or not value or path.startswith(hidden):
                continue
            key = path.rsplit("/", 1)[-1]
            if SECRET_KEY.search(key) and key not in NOT_SECRET:
                yield one, f"has a plain secret at {path}: make it a Pulumi secret, or let AWS make it"
            elif SECRET_TEXT.search(value):
                yield one, f"has something like a key at {path}: move it to Secrets Manager"


def resolved(estate: Estate) -> Iterator[Complaint]:
    for one in estate.resources:
        for path, value in walk(one.inputs):
            if isinstance(value, str) and UNRESOLVED in value:
                yield one, f"formats an output into text at {path}: use Output.format or Output.json_dumps"


def authentication(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of(CLUSTER):
        if one.at("accessConfig.authenticationMode") != "API":
            yield one, "uses the aws-auth map: set authenticationMode to API (it never goes back)"
