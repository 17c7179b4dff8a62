"""The load balancer's pure half: what the API says → model → Envoy resources."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.local.alb import __main__ as controller
from infra.local.alb.config import Settings, endpoints, resources, status_ranges
from infra.local.alb.envoy import Admin, parse_hosts, reports
from infra.local.alb.match import cookie_match, route_match
from infra.local.alb.model import (
    Condition,
    Edge,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    Redirect,
    Rule,
    Target,
    TargetGroup,
    Unsupported,
)
from infra.local.alb.passed_over import passed_over
from infra.local.alb.routes import NO_TARGETS, route_configuration
from infra.local.alb.state import parse_action, parse_condition

SETTINGS = Settings("/conf", 1.0)


def group(name: str, *targets: Target, sticky: int | None = None, health: bool = True) -> TargetGroup:
    check = HealthCheck(health, "/health/ready", None, 10, 5, 3, 2, "200-299,301")
    return TargetGroup(f"arn:{name}", name, False, True, sticky, check, targets)


def edge(action: Any, *groups: TargetGroup, protocol: str = "HTTP") -> Edge:
    listener = Listener("arn:listener", 8080, protocol, 300, (Rule((), action),))
    return Edge((listener,), {one.arn: one for one in groups})


def routes(of: Edge) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = route_configuration(of.listeners[0], of)["virtual_hosts"][0]["routes"]
    return found


UP = Target("127.0.0.11", 8000, draining=False)
LEAVING = Target("127.0.0.12", 8000, draining=True)
BOTH = (("arn:blue", 90), ("arn:green", 10))


def test_weights_become_weighted_clusters_and_weight_0_stays_in() -> None:
    of = edge(Forward((("arn:blue", 100), ("arn:green", 0)), None), group("blue", UP), group("green", UP))
    (route,) = routes(of)
    clusters = route["route"]["weighted_clusters"]["clusters"]
    assert [(one["name"], one["weight"]) for one in clusters] == [("blue", 100), ("green", 0)]
    assert route["route"]["idle_timeout"] == "300s"


def test_group_stickiness_puts_a_cookie_route_per_group_before_the_weighted_one() -> None:
    found = routes(edge(Forward(BOTH, 600), group("blue", UP), group("green", UP)))
    assert ["headers" in one["match"] for one in found] == [True, True, False]
    pinned = found[0]["route"]["weighted_clusters"]["clusters"]
    assert [one["name"] for one in pinned] == ["blue"]
    cookies = [
        one["response_headers_to_add"][0]["header"]["value"]
        for one in found[2]["route"]["weighted_clusters"]["clusters"]
    ]
    assert all(re.fullmatch(r"AWSALBTG=[0-9a-f]{32}; Max-Age=600; Path=/", one) for one in cookies)
    assert len(set(cookies)) == 2


def test_a_group_with_draining_targets_only_is_a_group_without_targets() -> None:
    (route,) = routes(edge(Forward((("arn:blue", 1),), None), group("blue", LEAVING)))
    assert route["route"]["weighted_clusters"]["clusters"][0]["name"] == NO_TARGETS


def test_all_weights_0_is_nowhere_to_go() -> None:
    (route,) = routes(edge(Forward((("arn:blue", 0),), None), group("blue", UP)))
    assert route["route"]["cluster"] == NO_TARGETS


def test_changed_weights_change_the_routes_and_nothing_else() -> None:
    groups = (group("blue", UP), group("green", UP))
    before = resources(edge(Forward(BOTH, 600), *groups), None, SETTINGS)
    after = resources(edge(Forward((("arn:blue", 0), ("arn:green", 100)), 600), *groups), None, SETTINGS)
    assert before.routes != after.routes
    assert (before.listeners, before.clusters, before.endpoints) == (
        after.listeners,
        after.clusters,
        after.endpoints,
    )


def test_changed_targets_change_the_endpoints_of_their_group_alone() -> None:
    before = resources(edge(Forward(BOTH, None), group("blue", UP), group("green", UP)), None, SETTINGS)
    moved = edge(Forward(BOTH, None), group("blue", UP, LEAVING), group("green", UP))
    after = resources(moved, None, SETTINGS)
    assert before.endpoints["eds-blue.json"] != after.endpoints["eds-blue.json"]
    assert before.endpoints["eds-green.json"] == after.endpoints["eds-green.json"]
    assert (before.listeners, before.clusters, before.routes) == (
        after.listeners,
        after.clusters,
        after.routes,
    )


def test_a_group_that_is_no_longer_named_stays_until_the_routes_are_replaced() -> None:
    old = edge(Forward(BOTH, None), group("blue", UP), group("green", UP))
    new = edge(Forward((("arn:blue", 1),), None), group("blue", UP))
    names = [one["name"] for one in json.loads(resources(new, old, SETTINGS).clusters)["resources"]]
    assert names == ["blue", "green"]
    assert [one["name"] for one in json.loads(resources(new, None, SETTINGS).clusters)["resources"]] == [
        "blue"
    ]


def test_a_draining_target_is_draining_for_envoy() -> None:
    found = endpoints(group("blue", UP, LEAVING))["endpoints"][0]["lb_endpoints"]
    assert [one["health_status"] for one in found] == ["HEALTHY", "DRAINING"]


def test_a_tls_listener_is_not_opened_without_tls() -> None:
    of = resources(edge(Forward(BOTH, None), group("blue", UP), protocol="HTTPS"), None, SETTINGS)
    assert json.loads(of.listeners)["resources"] == []
    assert of.routes == {}


@pytest.mark.parametrize(
    ("matcher", "wanted"),
    [("200", [(200, 201)]), ("200-299", [(200, 300)]), ("200,302-303", [(200, 201), (302, 304)])],
)
def test_matchers_become_half_open_ranges(matcher: str, wanted: list[tuple[int, int]]) -> None:
    assert [(one["start"], one["end"]) for one in status_ranges(matcher)] == wanted


@pytest.mark.parametrize(
    ("condition", "header", "value", "wanted"),
    [
        (Condition("path-pattern", ("/a/*",)), ":path", "/a/b?c", True),
        (Condition("path-pattern", ("/a/*",)), ":path", "/A/b", False),
        (Condition("path-pattern", ("/a.b",)), ":path", "/axb", False),
        (Condition("path-pattern", ("/?",)), ":path", "/ab", False),
        (Condition("path-pattern", (r"/\*",)), ":path", "/*", True),
        (Condition("path-pattern", (r"/\*",)), ":path", "/x", False),
        (Condition("host-header", ("*.a.example",)), ":authority", "X.A.Example:8080", True),
        (Condition("host-header", ("*.a.example",)), ":authority", "a.example", False),
        (Condition("http-header", ("beta*",), "X-Kind"), "x-kind", "BETA-2", True),
        (Condition("query-string", pairs=(("v", "1"),)), ":path", "/?a=2&v=1", True),
        (Condition("query-string", pairs=(("v", "1"),)), ":path", "/?v=11", False),
        (Condition("query-string", pairs=(("", "1"),)), ":path", "/x?any=1&b", True),
        (Condition("query-string", pairs=(("v", "1"),)), ":path", "/v=1", False),
    ],
)
def test_conditions_match_as_aws_says(condition: Condition, header: str, value: str, wanted: bool) -> None:
    match = route_match((condition,))
    assert match is not None
    (found,) = match["headers"]
    assert found["name"] == header
    assert bool(re.fullmatch(found["string_match"]["safe_regex"]["regex"], value)) is wanted


def test_a_source_outside_this_machine_never_matches() -> None:
    assert route_match((Condition("source-ip", ("10.0.0.0/8",)),)) is None
    assert route_match((Condition("source-ip", ("10.0.0.0/8", "127.0.0.0/8")),)) == {"prefix": "/"}


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [("A=1", True), ("x=2; A=1;y=3", True), ("xA=1", False), ("A=11", False), ("A=2", False)],
)
def test_a_cookie_is_found_among_others(sent: str, wanted: bool) -> None:
    pattern = cookie_match("A", "1")["string_match"]["safe_regex"]["regex"]
    assert bool(re.fullmatch(pattern, sent)) is wanted


def test_actions_are_read_with_the_defaults_of_aws() -> None:
    assert parse_action([{"Type": "forward", "TargetGroupArn": "a"}]) == Forward((("a", 1),), None)
    sticky = {"Enabled": True, "DurationSeconds": 60}
    config = {"TargetGroups": [{"TargetGroupArn": "a", "Weight": 0}], "TargetGroupStickinessConfig": sticky}
    assert parse_action([{"Type": "forward", "ForwardConfig": config}]) == Forward((("a", 0),), 60)
    fixed = {"StatusCode": "404"}
    wanted = FixedResponse(404, "", "text/plain")
    assert parse_action([{"Type": "fixed-response", "FixedResponseConfig": fixed}]) == wanted
    moved = Redirect(302, "HTTPS", "#{host}", "#{port}", "/#{path}", "#{query}")
    redirect = {"StatusCode": "HTTP_302", "Protocol": "HTTPS"}
    assert parse_action([{"Type": "redirect", "RedirectConfig": redirect}]) == moved
    login = [
        {"Type": "forward", "TargetGroupArn": "a", "Order": 2},
        {"Type": "authenticate-oidc", "Order": 1},
    ]
    assert parse_action(login) == Unsupported("authenticate-oidc")


def test_what_cannot_be_imitated_says_so_to_the_client() -> None:
    (route,) = routes(edge(Unsupported("authenticate-oidc")))
    assert route["direct_response"]["status"] == 500
    assert "authenticate-oidc" in route["direct_response"]["body"]["inline_string"]


def test_both_forms_of_a_condition_are_read() -> None:
    old = {"Field": "path-pattern", "Values": ["/a"]}
    new = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a"]}}
    assert parse_condition(old) == parse_condition(new) == Condition("path-pattern", ("/a",))


def silent(group: TargetGroup, target: Target) -> None:
    """A target that does not answer."""


def host(address: str, requests: int = 0, **health: Any) -> dict[str, Any]:
    return {
        "address": {"socket_address": {"address": address, "port_value": 8000}},
        "stats": [{"name": "rq_active", "value": str(requests)}],
        "health_status": health,
    }


@pytest.mark.parametrize(
    ("health", "requests", "state", "reason"),
    [
        ({}, 0, "healthy", None),
        ({"failed_active_health_check": True}, 0, "unhealthy", "Target.FailedHealthChecks"),
        ({"failed_active_health_check": True, "active_hc_timeout": True}, 0, "unhealthy", "Target.Timeout"),
        (
            {"failed_active_health_check": True, "pending_active_hc": True},
            0,
            "initial",
            "Elb.InitialHealthChecking",
        ),
        ({"eds_health_status": "DRAINING"}, 1, "draining", "Target.DeregistrationInProgress"),
        ({"eds_health_status": "DRAINING"}, 0, "unused", "Target.NotRegistered"),
    ],
)
def test_what_envoy_sees_is_said_in_the_words_of_aws(
    health: dict[str, Any], requests: int, state: str, reason: str | None
) -> None:
    seen = parse_hosts(
        {"cluster_statuses": [{"name": "blue", "host_statuses": [host(UP.id, requests, **health)]}]}
    )
    report = reports([group("blue", UP)], seen, silent)["arn:blue"][UP.id]
    assert (report["state"], report["reason"]) == (state, reason)


def test_a_wrong_status_is_named() -> None:
    seen = parse_hosts(
        {
            "cluster_statuses": [
                {"name": "blue", "host_statuses": [host(UP.id, failed_active_health_check=True)]}
            ]
        }
    )
    report = reports([group("blue", UP)], seen, lambda group, target: 503)["arn:blue"][UP.id]
    assert report["reason"] == "Target.ResponseCodeMismatch"
    assert report["description"] == "Health checks failed with these codes: [503]"


def test_a_target_that_envoy_does_not_know_yet_is_not_reported() -> None:
    assert reports([group("blue", UP)], {"blue": {}}, silent) == {"arn:blue": {}}


def test_targets_without_health_checks_are_unavailable_and_unchecked() -> None:
    seen = parse_hosts({"cluster_statuses": [{"name": "blue", "host_statuses": [host(UP.id)]}]})
    unchecked = group("blue", UP, health=False)
    report = reports([unchecked], seen, silent)["arn:blue"][UP.id]
    assert (report["state"], report["reason"]) == ("unavailable", "Target.HealthCheckDisabled")
    found = json.loads(resources(edge(Forward(BOTH, None), unchecked), None, SETTINGS).clusters)
    assert "health_checks" not in found["resources"][0]


def test_what_gets_no_traffic_here_is_said_with_the_way_out() -> None:
    instance = Target("i-0123456789abcdef0", 8000, draining=False)
    of = edge(Forward((("arn:blue", 1),), None), group("blue", UP, instance), protocol="HTTPS")
    closed, unreachable = passed_over(of)
    assert "port 8080 stays closed" in closed
    assert "HTTPS" in closed
    assert "target i-0123456789abcdef0 of blue gets no traffic" in unreachable
    assert "target group of type ip" in unreachable
    assert list(passed_over(edge(Unsupported("authenticate-oidc")))) == [
        "port 8080 answers 500 to requests for the action authenticate-oidc"
    ]
    assert list(passed_over(edge(Forward(BOTH, None), group("blue", UP)))) == []


def test_a_target_without_an_address_does_not_spoil_its_group() -> None:
    instance = Target("i-0123456789abcdef0", 8000, draining=False)
    found = endpoints(group("blue", instance, UP))["endpoints"][0]["lb_endpoints"]
    assert [one["endpoint"]["address"]["socket_address"]["address"] for one in found] == [UP.id]


def test_every_sentence_is_logged_once_and_again_after_it_was_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    plain, tls = edge(Forward(BOTH, None)), edge(Forward(BOTH, None), protocol="HTTPS")
    edges = iter([tls, tls, plain, tls])
    monkeypatch.setattr(controller, "log", lambda sentence, **_: said.append(sentence))
    monkeypatch.setattr("infra.local.alb.state.read_edge", lambda _: next(edges))
    one = controller.Controller(None, 1, tmp_path, Admin(1), 1.0)
    for _ in range(4):
        one.apply()
    assert sum("stays closed" in sentence for sentence in said) == 2
