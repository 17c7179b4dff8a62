"""What a second pair of eyes found: alerts that would be lost, metrics that would not arrive."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.policy.model import Resource
from infra.stack.configuration import load
from infra.stack.database import most_storage
from infra.stack.observability import PUBLISHERS
from infra.stack.registry import tags_of
from infra.stack.settings import Settings
from tests.infra.estates import CLOUD, estate, recorded


def one(stack: str, compute: str, kind: str, name: str) -> Resource:
    (found,) = [
        each
        for each in estate(stack, compute).resources.values()
        if each.type.endswith(f":{kind}") and each.name == name
    ]
    return found


def allowed(policy: str) -> dict[str, dict[str, Any]]:
    return {each["Sid"]: each for each in json.loads(policy)["Statement"]}


@pytest.mark.parametrize(("stack", "compute"), CLOUD)
def test_whoever_publishes_alerts_may_use_the_topics_key(stack: str, compute: str) -> None:
    topic = allowed(one(stack, compute, "TopicPolicy", "alerts").inputs["policy"])
    publishers = topic["ServicesPublish"]["Principal"]["Service"]
    key = allowed(one(stack, compute, "Key", "logs").inputs["policy"])
    assert set(publishers) == set(PUBLISHERS) <= set(key["AlertTopic"]["Principal"]["Service"])
    assert {"kms:GenerateDataKey*", "kms:Decrypt"} <= set(key["AlertTopic"]["Action"])
    assert one(stack, compute, "Topic", "alerts").inputs["kmsMasterKeyId"].endswith("logs")


def test_only_log_groups_of_this_account_use_the_key_of_logs() -> None:
    key = allowed(one("prod", "ec2", "Key", "logs").inputs["policy"])["LogGroups"]
    assert key["Principal"] == {"Service": "logs.eu-central-1.amazonaws.com"}
    (context,) = key["Condition"]["ArnLike"].items()
    assert context == ("kms:EncryptionContext:aws:logs:arn", "arn:aws:logs:eu-central-1:123456789012:*")


def test_the_collector_stands_in_the_clusters_own_group() -> None:
    """Neither the API server nor the pods let the service's group in."""
    groups = one("prod", "eks", "Scraper", "pods").inputs["source"]["eks"]["securityGroupIds"]
    assert groups == ["sg-cluster"]


def test_a_question_about_an_attack_is_no_attack() -> None:
    """Rules that read bodies count; a rule for the body that blocks would refuse prompts."""
    rules = one("prod", "ec2", "WebAcl", "waf").inputs["rules"]
    counted: set[str] = set()
    for rule in rules:
        group = rule["statement"].get("managedRuleGroupStatement", {})
        for each in group.get("ruleActionOverrides", []):
            assert each["actionToUse"] == {"count": {}}
            counted.add(each["name"])
    assert {
        "Log4JRCE_BODY",
        "JavaDeserializationRCE_BODY",
        "ReactJSRCE_BODY",
        "SizeRestrictions_BODY",
    } <= counted


def test_every_replica_grows_as_its_primary_and_is_tuned_like_it() -> None:
    estate_ = estate("prod", "ec2").resources.values()
    databases = [each for each in estate_ if each.type == "aws:rds/instance:Instance"]
    assert {each.at("maxAllocatedStorage") for each in databases} == {2000}
    tuned = [
        each.inputs["parameters"]
        for each in estate_
        if each.type.endswith("rds/parameterGroup:ParameterGroup")
    ]
    assert len(tuned) == 2
    assert tuned[0] == tuned[1]


def test_no_log_of_the_database_is_kept_for_ever() -> None:
    estate_ = estate("prod", "ec2").resources.values()
    groups = {each.at("name"): each for each in estate_ if each.type.endswith(":LogGroup")}
    for database in estate_:
        for kind in database.at("enabledCloudwatchLogsExports") or ():
            group = groups[f"/aws/rds/instance/{database.at('identifier')}/{kind}"]
            assert group.at("retentionInDays") == 365
            assert group.at("kmsKeyId")


def test_nobody_pays_for_a_version_past_its_end() -> None:
    assert one("prod", "ec2", "Instance", "primary").at("engineLifecycleSupport").endswith("-disabled")
    assert one("prod", "eks", "Cluster", "cluster").at("upgradePolicy") == {"supportType": "STANDARD"}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_release_role_gets_into_its_namespace_and_no_further(stack: str) -> None:
    association = one(stack, "eks", "AccessPolicyAssociation", "release")
    assert association.at("accessScope") == {"type": "namespace", "namespaces": ["superagent"]}
    assert association.at("policyArn").endswith("/AmazonEKSEditPolicy")
    assert association.at("principalArn").endswith(f"superagent-{stack}-release")
    policy = one(stack, "eks", "RolePolicy", "release-policy").inputs["policy"]
    found = allowed(policy)["FindCluster"]
    assert found["Resource"][0].endswith(f"cluster/superagent-{stack}-eks")
    assert "FindCluster" not in one(stack, "ec2", "RolePolicy", "release-policy").inputs["policy"]


@pytest.mark.parametrize(("name", "policy"), [("preview", "AdminView"), ("deploy", "ClusterAdmin")])
def test_workflows_get_into_a_cluster_that_an_administrator_made(name: str, policy: str) -> None:
    """`pulumi refresh` reads every object, those of charts and their Secrets too, or it fails as a whole."""
    association = one("prod", "eks", "AccessPolicyAssociation", name)
    assert association.at("accessScope") == {"type": "cluster"}
    assert association.at("policyArn").endswith(f"/AmazonEKS{policy}Policy")
    assert association.at("principalArn").endswith(f"superagent-prod-{name}")


def test_the_version_of_the_cluster_is_one_that_scrapes_privately() -> None:
    assert Settings.model_fields["eks_version"].default >= "1.29", "sidecars end after their service"
    assert one("prod", "eks", "Cluster", "cluster").at("vpcConfig.endpointPrivateAccess") is True


def test_a_failed_job_of_aws_backup_is_told() -> None:
    """A vault's own notifications name failures too, but AWS sends none of those any more."""
    pattern = json.loads(one("prod", "ec2", "EventRule", "backup-failures").inputs["eventPattern"])
    assert set(pattern["detail-type"]) == {
        "Backup Job State Change",
        "Copy Job State Change",
        "Restore Job State Change",
    }
    either = {key: set(states) for each in pattern["detail"]["$or"] for key, states in each.items()}
    assert either == {key: {"FAILED", "ABORTED", "EXPIRED"} for key in ("state", "status")}
    target = one("prod", "ec2", "EventTarget", "backup-failures").inputs["arn"]
    topic = allowed(one("prod", "ec2", "TopicPolicy", "alerts").inputs["policy"])["RulesPublish"]
    assert (target, topic["Principal"]) == (topic["Resource"], {"Service": "events.amazonaws.com"})
    assert "Condition" not in topic  # EventBridge names no account: its messages would be dropped
    key = allowed(one("prod", "ec2", "Key", "logs").inputs["policy"])["AlertTopic"]
    assert "events.amazonaws.com" in key["Principal"]["Service"]
    assert "Condition" not in key


def test_the_cache_gets_the_token_that_is_kept() -> None:
    """Each run generates another; a run that stopped half-way kept one, and the cache is still to come."""
    token = one("prod", "ec2", "ReplicationGroup", "cache").inputs["authTokenWo"]
    kept = one("prod", "ec2", "SecretVersion", "cache").inputs["secretStringWo"]
    assert (token, kept) == ("kept-in-secrets-manager", "generated-by-secrets-manager")


def test_a_preview_may_ask_what_the_program_asks() -> None:
    """Every run of the program asks for a password; none of the managed policies for looking lets it."""
    rights = allowed(one("prod", "ec2", "RolePolicy", "preview-policy").inputs["policy"])
    actions = {action for each in rights.values() for action in each["Action"]}
    assert {"secretsmanager:GetRandomPassword", "secretsmanager:GetSecretValue"} <= actions


def test_migrations_run_on_instances_of_this_system_alone() -> None:
    """Another system's instances of the account may have the tag Environment too."""
    rights = allowed(one("prod", "ec2", "RolePolicy", "release-policy").inputs["policy"])
    assert rights["MigrateOn"]["Condition"] == {
        "StringEquals": {"aws:ResourceTag/Project": "superagent", "aws:ResourceTag/Environment": "prod"}
    }


@pytest.mark.parametrize("compute", ["ec2", "eks"])
def test_a_runner_in_a_private_subnet_reaches_the_test_listener(compute: str) -> None:
    """The name of a public load balancer has public addresses alone: a smoke test arrives by NAT."""
    found = estate("prod", compute).resources.values()
    rules = [each.inputs for each in found if each.type.endswith(":SecurityGroupIngressRule")]
    (port,) = {each.inputs["port"] for each in found if each.name == "test" and "Listener" in each.type}
    gateways = [each for each in found if each.type.endswith(":NatGateway")]
    sources = {rule["cidrIpv4"] for rule in rules if rule.get("fromPort") == port}
    assert len(gateways) == 3
    assert sources == {"10.73.0.0/16", "198.51.100.97/32", "198.51.100.98/32", "198.51.100.99/32"}


@pytest.mark.parametrize(
    ("image", "tags"),
    [
        (None, []),
        ("registry:5000/superagent", []),
        ("registry:5000/superagent:tools-7", ["tools-7"]),
        ("registry/superagent:tools@sha256:00", ["tools"]),
        ("registry/superagent@sha256:00", []),
    ],
)
def test_the_registry_keeps_the_image_of_the_jobs(image: str | None, tags: list[str]) -> None:
    """Backups run with it for longer than fifty releases take."""
    assert tags_of(image) == tags


def test_what_the_jobs_run_is_kept_before_anything_is_removed() -> None:
    found = recorded("dev", {"compute": "ec2", "tools_image": "registry/superagent:tools-7"}).resources
    (policy,) = [each.inputs["policy"] for each in found.values() if each.type.endswith(":LifecyclePolicy")]
    rules = sorted(json.loads(policy)["rules"], key=lambda rule: int(rule["rulePriority"]))
    assert [rule["selection"].get("tagPatternList") for rule in rules] == [["tools-7"], None, None]
    assert rules[-1]["selection"]["tagStatus"] == "any"  # ECR wants it last


def test_plain_http_is_sent_to_the_port_that_answers() -> None:
    found = recorded("dev", {"compute": "ec2", "http_port": "8443", "test_port": "9443"}).resources
    (redirect,) = [each.inputs for each in found.values() if each.name == "redirect" and "isten" in each.type]
    assert redirect["defaultActions"][0]["redirect"]["port"] == "8443"


def test_a_cluster_has_nodes_for_both_colours_at_their_largest() -> None:
    """A node of the default type holds one pod; the new colour gets as many as the old one has."""
    scaling = one("staging", "eks", "NodeGroup", "nodes").inputs["scalingConfig"]
    largest = one("staging", "eks", "HorizontalPodAutoscaler", "blue").inputs["spec"]["maxReplicas"]
    assert scaling["maxSize"] == 2 * largest


def test_the_fewest_nodes_are_no_more_than_the_most() -> None:
    small = {"compute": "eks", "min_size": "1", "max_size": "1"}
    found = recorded("dev", small).resources.values()
    (scaling,) = [each.inputs["scalingConfig"] for each in found if each.type.endswith(":NodeGroup")]
    assert scaling["minSize"] == scaling["desiredSize"] == scaling["maxSize"] == 2


def test_no_database_may_grow_beyond_what_there_is() -> None:
    settings = load("dev", {"superagent:certificate_arn": "arn:aws:acm:eu-central-1:1:certificate/a"})
    grown = {
        size: most_storage(settings.model_copy(update={"database_storage_gib": size}))
        for size in (20, 20_000, 65_536)
    }
    assert grown == {20: 100, 20_000: 65_536, 65_536: None}


def test_a_new_family_of_parameters_is_a_new_group_in_both_regions() -> None:
    """The old group has to stay until the instance has left it, and two groups cannot have one name."""
    groups = [
        each.inputs
        for each in estate("prod", "ec2").resources.values()
        if each.type == "aws:rds/parameterGroup:ParameterGroup"
    ]
    assert len(groups) == 2
    assert all(each["name"].endswith(each["family"]) for each in groups)


def test_aws_backup_begins_outside_the_windows_of_the_database() -> None:
    """It starts nothing in them or in the hour before: such a job fails, and now somebody is told."""
    database = one("prod", "ec2", "Instance", "primary").inputs
    windows = [database["backupWindow"], database["maintenanceWindow"].replace("sun:", "")]
    spans = [(_minutes(begin) - 60, _minutes(end)) for begin, end in [each.split("-") for each in windows]]
    for rule in one("prod", "ec2", "Plan", "plan").inputs["rules"]:
        minute, hour = rule["schedule"].removeprefix("cron(").split()[:2]
        begins = 60 * int(hour) + int(minute)
        assert all(not first <= begins <= last for first, last in spans)


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return 60 * int(hour) + int(minute)


def test_a_name_that_somebody_else_has_can_be_avoided() -> None:
    """All of AWS shares the names of buckets."""
    own = {"compute": "ec2", "disaster_recovery": "true", "bucket_suffix": "acme"}
    found = recorded("dev", own).resources.values()
    names = [each.inputs["bucket"] for each in found if each.type == "aws:s3/bucket:Bucket"]
    assert sorted(names) == [
        "superagent-dev-access-logs-acme",
        "superagent-dev-backups-acme",
        "superagent-dev-backups-replica-acme",
    ]
    (policy,) = [
        allowed(each.inputs["policy"])
        for each in found
        if each.type.endswith(":BucketPolicy") and each.name == "access-logs"
    ]
    assert policy["LoadBalancerWrites"]["Resource"].startswith(
        "arn:aws:s3:::superagent-dev-access-logs-acme/"
    )
