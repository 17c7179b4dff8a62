"""Drift inside the cluster: the declared estate in the strict API server, then changed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.policy.model import Resource
from infra.preview.drift import Classified
from infra.preview.estate import Recorded
from infra.preview.live import compare
from infra.preview.live_cluster import PLURALS, leaves, path
from infra.stack.kube import Kube
from infra.stack.outputs import COLOURS, StackOutputs
from tests.infra.estates import estate
from tests.infra.release.kube.api import Cluster
from tests.infra.release.kube.estate import connected

CHECKED = ("Deployment", "HorizontalPodAutoscaler")
"""What the server knows the schemas, defaults and controllers of, for the colours."""


def declared() -> Recorded:
    """The part of the estate that is in the cluster."""
    found = estate("prod", "eks")
    inside = {urn: one for urn, one in found.resources.items() if one.type.startswith("kubernetes:")}
    return Recorded(**{**_fields(found), "resources": inside})


def _fields(found: Recorded) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def objects() -> list[tuple[Resource, str]]:
    return [(one, where) for one in declared().resources.values() if (where := path(one))]


@pytest.fixture
def cluster() -> Iterator[tuple[Cluster, Kube]]:
    made = Cluster()
    for one, where in objects():
        manifest = json.loads(json.dumps(dict(one.inputs)))
        if manifest["kind"] in CHECKED and one.name in COLOURS:
            made.add(manifest.pop("apiVersion"), manifest.pop("kind"), manifest)
        else:
            manifest["metadata"]["uid"] = "given-by-the-server"
            made.plain[where] = manifest
    with connected(made) as kube:
        yield made, kube


def found(kube: Kube | None) -> list[Classified]:
    def nobody(service: str, region: str) -> Any:
        raise AssertionError(f"{service} has nothing to do with it")

    outputs = StackOutputs(**estate("prod", "eks").outputs)
    return compare(declared(), outputs, nobody, kube.get if kube else None)


def test_every_kind_of_the_estate_has_a_path() -> None:
    kinds = {one.at("kind") for one in declared().resources.values() if one.at("apiVersion")}
    assert kinds == set(PLURALS)
    paths = {where for _, where in objects()}
    assert "/api/v1/namespaces/superagent" in paths
    assert "/apis/apps/v1/namespaces/superagent/deployments/superagent-blue" in paths
    assert any(
        where.startswith("/apis/elbv2.k8s.aws/v1beta1/namespaces/superagent/targetgroupb") for where in paths
    )


def test_a_cluster_as_declared_has_no_drift_and_what_only_aws_knows_is_named(
    cluster: tuple[Cluster, Kube],
) -> None:
    made, kube = cluster
    answer = found(kube)
    assert [one for one in answer if not one.clean] == []
    unasked = {(one.type.split(":")[-1], one.path) for one in answer if one.verdict == "unasked"}
    assert ("TargetGroupBinding", "spec.targetGroupARN") in unasked
    assert ("Release", "") in unasked
    assert made.violations == []


def test_what_somebody_changed_is_drift_and_what_a_release_changed_is_not(
    cluster: tuple[Cluster, Kube],
) -> None:
    made, kube = cluster
    deployment = made.of("Deployment")["superagent-blue"]
    deployment["spec"]["replicas"] = 4
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["resources"]["limits"]["memory"] = "4Gi"
    made.of("HorizontalPodAutoscaler")["superagent-blue"]["spec"]["minReplicas"] = 7
    policy = next(where for where in made.plain if "networkpolicies" in where)
    made.plain[policy]["spec"]["egress"] = [{}]
    account = next(where for where in made.plain if where.endswith("serviceaccounts/superagent"))
    del made.plain[account]
    assert {(one.name, one.path, one.verdict) for one in found(kube) if one.verdict != "unasked"} >= {
        ("blue", "spec.replicas", "release"),
        ("blue", "spec.minReplicas", "release"),
        ("blue", "spec.template.spec.containers[0].resources.limits.memory", "drift"),
        ("service", "spec.egress[1].ports[0].port", "drift"),
        ("superagent", "", "drift"),
    }


def test_without_a_way_in_every_object_is_told_and_none_is_clean() -> None:
    answer = [one for one in found(None) if one.verdict == "unread"]
    assert len({one.urn for one in answer}) == len(objects())
    assert not any(one.clean for one in answer)


def test_an_api_server_that_refuses_is_no_clean_bill(cluster: tuple[Cluster, Kube]) -> None:
    made, kube = cluster
    made.faults = [403]
    assert [one.verdict for one in found(kube) if not one.clean] == ["unread"]


def test_places_are_written_as_pulumi_writes_them() -> None:
    assert list(leaves({"a": [{"b": 1}, {"c": None}]})) == [(("a", 0, "b"), 1)]
