"""Rules, fixed answers, redirects, and the headers that a target sees."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.infra.local.alb_parts import Balancer, Target, builds, healthy, until
from tests.parts import free_port

pytestmark = pytest.mark.component
Start = Callable[[str], Awaitable[Target]]


def fixed(body: str, status: str = "200") -> list[dict[str, Any]]:
    config = {"StatusCode": status, "MessageBody": body, "ContentType": "application/json"}
    return [{"Type": "fixed-response", "FixedResponseConfig": config}]


async def ask(port: int, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, f"http://127.0.0.1:{port}{path}", headers=headers, allow_redirects=False
        ) as answer,
    ):
        return answer.status, answer.headers.get("location") or await answer.text()


async def answers(port: int, wanted: str) -> None:
    async def arrived() -> bool:
        try:
            return (await ask(port))[1] == wanted
        except aiohttp.ClientError:
            return False

    await until(arrived, f"port {port} answers {wanted!r}")


async def test_rules_match_by_priority_path_host_header_method_and_query(balancer: Balancer) -> None:
    rules: list[tuple[str, list[dict[str, Any]]]] = [
        ("path", [{"Field": "path-pattern", "Values": ["/v1/*.json"]}]),
        ("host", [{"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com", "a.b"]}}]),
        (
            "header",
            [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["b?t"]}}],
        ),
        ("method", [{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}]),
        (
            "query",
            [{"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2*"}]}}],
        ),
        (
            "both",
            [
                {"Field": "path-pattern", "Values": ["/both"]},
                {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Both", "Values": ["yes"]}},
            ],
        ),
        ("elsewhere", [{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}]),
        ("too late", [{"Field": "path-pattern", "Values": ["/v1/*"]}]),
    ]
    listener = balancer.listener
    for number, (name, conditions) in reversed(list(enumerate(rules, start=1))):
        balancer.elbv2.create_rule(
            ListenerArn=listener, Priority=number * 10, Conditions=conditions, Actions=fixed(name)
        )
    balancer.elbv2.modify_listener(ListenerArn=listener, DefaultActions=fixed("default"))
    port = balancer.port
    await answers(port, "default")
    assert await ask(port, "/v1/a/b.json?x=1") == (200, "path")
    assert await ask(port, "/v1/a") == (200, "too late")
    assert await ask(port, host="API.example.com:80") == (200, "host")
    assert await ask(port, host="example.com") == (200, "default")
    assert await ask(port, **{"x-kind": "BOT"}) == (200, "header")
    assert await ask(port, **{"x-kind": "boot"}) == (200, "default")
    assert await ask(port, method="PUT") == (200, "method")
    assert await ask(port, "/?a=b&v=22") == (200, "query")
    assert await ask(port, "/?av=22") == (200, "default")
    assert await ask(port, "/both", **{"x-both": "yes"}) == (200, "both")
    assert await ask(port, "/both") == (200, "default")


async def test_a_fixed_response_has_its_status_body_and_type(balancer: Balancer) -> None:
    balancer.elbv2.modify_listener(
        ListenerArn=balancer.listener, DefaultActions=fixed('{"a": "100%"}', "503")
    )
    await answers(balancer.port, '{"a": "100%"}')
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{balancer.port}/") as answer,
    ):
        assert (answer.status, answer.content_type) == (503, "application/json")


async def test_a_redirect_keeps_what_its_placeholders_keep(balancer: Balancer) -> None:
    config = {"StatusCode": "HTTP_301", "Protocol": "HTTPS", "Port": "443", "Path": "/new/#{path}"}
    balancer.elbv2.modify_listener(
        ListenerArn=balancer.listener, DefaultActions=[{"Type": "redirect", "RedirectConfig": config}]
    )
    await answers(balancer.port, "https://127.0.0.1:443/new/")
    assert await ask(balancer.port, "/a/b?c=d") == (301, "https://127.0.0.1:443/new/a/b?c=d")


async def test_each_listener_has_its_port_and_closes_with_it(balancer: Balancer) -> None:
    port = free_port()
    arn = balancer.listen(port, fixed("third"))
    await answers(port, "third")
    balancer.elbv2.delete_listener(ListenerArn=arn)

    async def closed() -> bool:
        try:
            await ask(port)
        except aiohttp.ClientError:
            return True
        return False

    await until(closed, "the port is closed")


async def test_the_test_listener_forwards_to_the_idle_colour_alone(
    balancer: Balancer, targets: Start
) -> None:
    blue, green = await targets("blue-1"), await targets("green-1")
    balancer.register("blue", blue)
    balancer.register("green", green)
    await healthy(balancer, "blue", blue)
    await healthy(balancer, "green", green)
    assert await builds(balancer.port) == {"blue-1": 40}
    assert await builds(balancer.test_port) == {"green-1": 40}


async def test_a_target_sees_who_asked_and_nothing_of_envoy(balancer: Balancer, targets: Start) -> None:
    blue = await targets("blue-1")
    balancer.register("blue", blue)
    await healthy(balancer, "blue", blue)
    given = "Root=1-67891233-abcdef012345678912345678"
    await ask(balancer.port)
    await ask(
        balancer.port, **{"x-amzn-trace-id": given, "x-forwarded-for": "192.0.2.7", "x-request-id": "mine"}
    )
    fresh, passed = (request.headers for request in blue.requests)
    assert fresh["x-forwarded-for"] == "127.0.0.1"
    assert fresh["x-forwarded-proto"] == "http"
    assert fresh["x-forwarded-port"] == str(balancer.port)
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", fresh["x-amzn-trace-id"])
    assert [one.strip() for one in ",".join(passed.getall("x-forwarded-for")).split(",")] == [
        "192.0.2.7",
        "127.0.0.1",
    ]
    assert re.fullmatch(r"Self=1-[0-9a-f]{8}-[0-9a-f]{24};" + re.escape(given), passed["x-amzn-trace-id"])
    assert passed["x-request-id"] == "mine"
    assert [name for name in fresh if name.lower().startswith("x-envoy")] == []
    assert "x-request-id" not in fresh
