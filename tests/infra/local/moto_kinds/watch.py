"""Logs, alarms, events, the topic's policy, WAF, Managed Prometheus, names and certificates."""

from __future__ import annotations

import json
from typing import Any, Final

from infra.local.emulated_clients import Aws
from infra.stack.offline import Registration
from tests.infra.local.moto_kinds.kind import Kind, Made, pascal, pick


def log_group(aws: Aws, one: Registration) -> Made:
    logs, name, days = aws["logs"], one.inputs["name"], one.inputs["retentionInDays"]
    logs.create_log_group(logGroupName=name, kmsKeyId=one.inputs["kmsKeyId"])
    logs.put_retention_policy(logGroupName=name, retentionInDays=days)

    def read() -> Any:
        found = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return next(each for each in found if each["logGroupName"] == name)

    arn = read()["arn"].removesuffix(":*")
    want = {"retentionInDays": days, "kmsKeyId": one.inputs["kmsKeyId"]}
    return Made(name, {"arn": arn, "name": name}, want, read)


def alarm(aws: Aws, one: Registration) -> Made:
    watch, inputs = aws["cloudwatch"], one.inputs
    want = pick(
        inputs, "comparisonOperator", "evaluationPeriods", "threshold", "period", "namespace", "metricName",
        "statistic", "extendedStatistic", "treatMissingData", "datapointsToAlarm", "alarmDescription",
        "alarmActions", OKActions="okActions",
    )  # fmt: skip
    if dimensions := inputs.get("dimensions"):
        want["Dimensions"] = [{"Name": key, "Value": dimensions[key]} for key in sorted(dimensions)]
    if queries := inputs.get("metricQueries"):
        want["Metrics"] = [_query(each) for each in queries]
    watch.put_metric_alarm(AlarmName=inputs["name"], **want)

    def read() -> Any:
        found = watch.describe_alarms(AlarmNames=[inputs["name"]])["MetricAlarms"][0]
        found["Dimensions"] = sorted(found.get("Dimensions", []), key=lambda each: str(each["Name"]))
        return found

    return Made(inputs["name"], {"arn": read()["AlarmArn"], "name": inputs["name"]}, want, read)


def event_rule(aws: Aws, one: Registration) -> Made:
    events, name = aws["events"], one.inputs["name"]
    want = pick(one.inputs, "description", "eventPattern")
    arn = events.put_rule(Name=name, **want)["RuleArn"]

    def read() -> Any:
        found = events.describe_rule(Name=name)
        return {**found, "EventPattern": json.dumps(json.loads(found["EventPattern"]))}

    want["EventPattern"] = json.dumps(json.loads(want["EventPattern"]))
    return Made(name, {"arn": arn, "name": name}, want, read)


def event_target(aws: Aws, one: Registration) -> Made:
    events, rule = aws["events"], one.inputs["rule"]
    want = {"Id": one.name, "Arn": one.inputs["arn"]}
    assert events.put_targets(Rule=rule, Targets=[want])["FailedEntryCount"] == 0
    return Made(one.name, {}, want, lambda: events.list_targets_by_rule(Rule=rule)["Targets"][0])


def _query(each: dict[str, Any]) -> dict[str, Any]:
    made = pick(each, "id", "expression", "label", "returnData")
    if metric := each.get("metric"):
        dimensions = [{"Name": key, "Value": value} for key, value in metric.get("dimensions", {}).items()]
        made["MetricStat"] = {
            "Metric": {**pick(metric, "namespace", "metricName"), "Dimensions": dimensions},
            "Period": metric["period"],
            "Stat": metric["stat"],
        }
    return made


def topic_policy(aws: Aws, one: Registration) -> Made:
    sns, arn, policy = aws["sns"], one.inputs["arn"], one.inputs["policy"]
    sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    want = {"Policy": json.loads(policy)}
    return Made(arn, {}, want, lambda: sns.get_topic_attributes(TopicArn=arn)["Attributes"])


def web_acl(aws: Aws, one: Registration) -> Made:
    waf, inputs = aws["wafv2"], one.inputs
    name, rules = inputs["name"], pascal(inputs["rules"])
    for rule in rules:
        rate = rule["Statement"].get("RateBasedStatement")
        if rate and "EvaluationWindowSec" in rate:
            rate["EvaluationWindowSec"] = int(rate["EvaluationWindowSec"])
    want = {"Rules": rules} | pick(inputs, "defaultAction")
    made = waf.create_web_acl(
        Name=name, Scope=inputs["scope"], VisibilityConfig=pascal(inputs["visibilityConfig"]), **want
    )["Summary"]
    key = {"Name": name, "Scope": inputs["scope"], "Id": made["Id"]}
    return Made(made["Id"], {"arn": made["ARN"]}, want, lambda: waf.get_web_acl(**key)["WebACL"])


def acl_association(aws: Aws, one: Registration) -> Made:
    waf, acl, target = aws["wafv2"], one.inputs["webAclArn"], one.inputs["resourceArn"]
    waf.associate_web_acl(WebACLArn=acl, ResourceArn=target)
    return Made(
        f"{acl},{target}",
        {},
        {"ARN": acl},
        lambda: waf.get_web_acl_for_resource(ResourceArn=target)["WebACL"],
    )


def acl_logging(aws: Aws, one: Registration) -> Made:
    waf, acl = aws["wafv2"], one.inputs["resourceArn"]
    want = {
        "ResourceArn": acl,
        "LogDestinationConfigs": one.inputs["logDestinationConfigs"],
        "RedactedFields": pascal(one.inputs["redactedFields"]),
    }
    waf.put_logging_configuration(LoggingConfiguration=want)

    def read() -> Any:
        return waf.get_logging_configuration(ResourceArn=acl)["LoggingConfiguration"]

    return Made(acl, {}, want, read)


def workspace(aws: Aws, one: Registration) -> Made:
    amp, inputs = aws["amp"], one.inputs
    want = {"alias": inputs["alias"]}
    made = amp.create_workspace(kmsKeyArn=inputs["kmsKeyArn"], **want)  # moto forgets the key
    identity, log = made["workspaceId"], inputs["loggingConfiguration"]["logGroupArn"]
    amp.create_logging_configuration(workspaceId=identity, logGroupArn=log)

    def read() -> Any:
        logging = amp.describe_logging_configuration(workspaceId=identity)["loggingConfiguration"]
        found = amp.describe_workspace(workspaceId=identity)["workspace"]
        return found | {"logGroupArn": logging["logGroupArn"]}

    outputs = {"arn": made["arn"], "prometheusEndpoint": read()["prometheusEndpoint"]}
    return Made(identity, outputs, want | {"logGroupArn": log}, read)


def rules(aws: Aws, one: Registration) -> Made:
    amp = aws["amp"]
    key = {"workspaceId": one.inputs["workspaceId"], "name": one.inputs["name"]}
    amp.create_rule_groups_namespace(**key, data=one.inputs["data"].encode())

    def read() -> Any:
        return amp.describe_rule_groups_namespace(**key)["ruleGroupsNamespace"]["data"].decode()

    return Made(one.inputs["name"], {}, one.inputs["data"], read)


def record(aws: Aws, one: Registration) -> Made:
    """In the only zone there is: moto's ids of zones do not look like AWS's, which settings insist on."""
    names, inputs = aws["route53"], one.inputs
    (found_zone,) = names.list_hosted_zones()["HostedZones"]
    zone = found_zone["Id"]
    entry: dict[str, Any] = {"Name": inputs["name"], "Type": inputs["type"]}
    if aliases := inputs.get("aliases"):
        entry["AliasTarget"] = {
            "HostedZoneId": aliases[0]["zoneId"],
            "DNSName": aliases[0]["name"],
            "EvaluateTargetHealth": aliases[0]["evaluateTargetHealth"],
        }
    else:
        entry |= {"TTL": inputs["ttl"], "ResourceRecords": [{"Value": each} for each in inputs["records"]]}
    changes = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": entry}]}
    names.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)

    def read() -> Any:
        found = names.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return next(each for each in found if each["Name"].rstrip(".") == inputs["name"].rstrip("."))

    want = {key: value for key, value in entry.items() if key != "Name"}
    return Made(one.name, {"fqdn": inputs["name"].rstrip(".")}, want, read)


def certificate(aws: Aws, one: Registration) -> Made:
    acm, domain = aws["acm"], one.inputs["domainName"]
    arn = acm.request_certificate(DomainName=domain, ValidationMethod=one.inputs["validationMethod"])[
        "CertificateArn"
    ]
    want = {"DomainName": domain}
    return Made(arn, {"arn": arn}, want, lambda: acm.describe_certificate(CertificateArn=arn)["Certificate"])


KINDS: Final[dict[str, Kind]] = {
    "aws:cloudwatch/logGroup:LogGroup": log_group,
    "aws:cloudwatch/metricAlarm:MetricAlarm": alarm,
    "aws:cloudwatch/eventRule:EventRule": event_rule,
    "aws:cloudwatch/eventTarget:EventTarget": event_target,
    "aws:sns/topicPolicy:TopicPolicy": topic_policy,
    "aws:wafv2/webAcl:WebAcl": web_acl,
    "aws:wafv2/webAclAssociation:WebAclAssociation": acl_association,
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": acl_logging,
    "aws:amp/workspace:Workspace": workspace,
    "aws:amp/ruleGroupNamespace:RuleGroupNamespace": rules,
    "aws:route53/record:Record": record,
    "aws:acm/certificate:Certificate": certificate,
}
