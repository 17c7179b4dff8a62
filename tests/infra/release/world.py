"""A small world to release into: real ELBv2, DynamoDB, SSM and SNS calls against moto in this process.

The fleet's instances and metrics do what the test says; the clock moves only when somebody sleeps."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # half a second for each new account

from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.elbv2.models import elbv2_backends

from infra.release.analysis import ColourAnalysis
from infra.release.announce import Announcements
from infra.release.controller import Controller
from infra.release.effects import Effects
from infra.release.fleet import Capacity, Instance, Rollout
from infra.release.image import ImageParameters
from infra.release.journal import Journal
from infra.release.lease import Lease
from infra.release.router import Router, Target
from infra.release.sample import Sample
from infra.release.settings import PROFILES, Profile
from infra.release.state import Run
from infra.release.telemetry import Ledger
from infra.stack.outputs import Colour, StackOutputs

REGION = "eu-central-1"
TABLE = "superagent-releases"
SLOTS: dict[Colour, tuple[str, ...]] = {
    "blue": ("127.0.0.11", "127.0.0.12"),
    "green": ("127.0.0.21", "127.0.0.22"),
}
PROFILE = replace(
    PROFILES["local"],
    bake=2.0,
    poll=0.5,
    lease=10.0,
    propagation=0.5,
    rollback_window=1.0,
    idle_for=0.5,
    old_life_limit=4.0,
    settle_timeout=5.0,
    no_data_patience=3.0,
    pause_limit=60.0,
)


class FakeClock:
    """Time that moves by sleeping alone."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.on_sleep: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.on_sleep()


@dataclass
class Behaviour:
    """How a version behaves."""

    becomes_healthy: bool = True
    healthy_for_polls: int = 10**9
    """Looks at target health after which its targets turn unhealthy."""
    errors: float = 0.0
    slow: float = 1.0
    smoke: str | None = None
    stops: bool = True
    data: bool = True


@dataclass
class Machine:
    version: str
    looks: int = 0


@dataclass
class World:
    """The state of the outside, and everything that was done to it."""

    outputs: StackOutputs
    client: Callable[[str], Any]
    clock: FakeClock
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    fleet_state: dict[Colour, dict[str, Machine]] = field(default_factory=lambda: {"blue": {}, "green": {}})
    log: list[str] = field(default_factory=list)
    traffic: float = 100.0
    probes: int = 0
    open_requests: dict[Colour, int] = field(default_factory=lambda: {"blue": 0, "green": 0})
    metrics_folder: Path = Path("metrics")
    grafana: Any = None
    """Gets the annotations when a test wants them."""

    def behaviour(self, colour: Colour) -> Behaviour:
        machines = self.fleet_state[colour]
        version = next(iter(machines.values())).version if machines else ""
        return self.behaviours.get(version, Behaviour())

    def weights(self) -> dict[Colour, int]:
        """As the listener has them, read behind the API's back: no call that a test would count."""
        listeners = elbv2_backends[DEFAULT_ACCOUNT_ID][REGION].load_balancers[self.outputs.alb_arn].listeners
        groups = listeners[self.outputs.listener_arn].default_actions[0].data["ForwardConfig"]["TargetGroups"]
        found = {group["TargetGroupArn"]: int(group["Weight"]) for group in groups}
        return {colour: found.get(arn, 0) for colour, arn in self.outputs.target_group_arns.items()}

    def check_traffic(self) -> None:
        """The promise: some colour with weight has machines, and no weight goes to an empty colour."""
        weights = self.weights()
        assert sum(weights.values()) == 100, weights
        for colour, weight in weights.items():
            assert weight == 0 or self.fleet_state[colour], f"{colour} has weight {weight} and no machine"


class WorldRouter(Router):
    """Real listeners; target health as the world has it."""

    def __init__(self, world: World) -> None:
        super().__init__(world.client("elbv2"), world.outputs)
        self._world = world

    def targets(self, colour: Colour) -> list[Target]:
        behaviour = self._world.behaviour(colour)
        found = []
        for host, machine in self._world.fleet_state[colour].items():
            machine.looks += 1
            if not behaviour.becomes_healthy or machine.looks > behaviour.healthy_for_polls:
                found.append(Target(host, 8000, "unhealthy", "Health checks failed"))
            else:
                found.append(Target(host, 8000, "healthy", ""))
        return found


class DoneMigration:
    def poll(self) -> str | None:
        return ""


@dataclass
class WorldFleet:
    """A fleet whose machines are entries of a dict."""

    world: World
    images: ImageParameters

    def image(self, colour: Colour) -> str:
        return self.images.read(colour)

    def set_image(self, colour: Colour, image: str) -> None:
        self.images.write(colour, image)

    def find_image(self, image: str) -> str | None:
        return None if image == "missing" else image

    def scale_up(self, colour: Colour, like: Colour) -> None:
        self.world.log.append(f"scale-up {colour}")
        for host in SLOTS[colour]:
            self.world.fleet_state[colour].setdefault(host, Machine(self.image(colour)))

    def rollout(self, colour: Colour) -> Rollout:
        return Rollout(2, len(self.world.fleet_state[colour]))

    def capacity(self, colour: Colour) -> Capacity:
        return Capacity(len(self.world.fleet_state[colour]), 1, 2)

    def resize(self, colour: Colour, instances: int) -> None:
        raise AssertionError("a release never resizes")

    def scale_down(self, colour: Colour) -> None:
        self.world.log.append(f"scale-down {colour}")
        if self.world.behaviour(colour).stops:
            self.world.fleet_state[colour].clear()
        self.world.check_traffic()

    def stopped(self, colour: Colour) -> bool:
        return not self.world.fleet_state[colour]

    def instances(self, colour: Colour) -> list[Instance]:
        return [Instance(host, m.version, True) for host, m in self.world.fleet_state[colour].items()]

    def in_flight(self, colour: Colour) -> int | None:
        return self.world.open_requests[colour]

    def migrate(self, colour: Colour, image: str) -> DoneMigration:
        self.world.log.append(f"migrate {image}")
        return DoneMigration()


@dataclass
class WorldSource:
    """Metrics that follow weights and behaviours."""

    world: World
    interval: float = 0.0

    def window(self, colour: Colour, since: float, now: float) -> Sample | None:
        behaviour = self.world.behaviour(colour)
        if not behaviour.data:
            return None
        n = self.world.traffic * max(0.5, now - since)
        edge = 0.1 * behaviour.slow
        return Sample(
            requests=n, errors=n * behaviour.errors, duration={edge / 2: 0.0, edge: n, float("inf"): n}
        )


@dataclass
class WorldSmoke:
    world: World
    router: Router

    def prepare(self) -> None:
        return

    def ready(self) -> bool:
        return True

    def check(self, version: str) -> str | None:
        for machines in self.world.fleet_state.values():
            for machine in machines.values():
                if machine.version == version:
                    return self.world.behaviours.get(version, Behaviour()).smoke
        return f"no machine runs {version}"

    def probe(self) -> int:
        self.world.probes += 1
        return 1


class NoMigrations:
    def problem(self, run: Run) -> str | None:
        return None

    def record(self) -> None:
        return


@dataclass
class Operator:
    """One process of the release tool."""

    world: World
    profile: Profile = PROFILE
    name: str = "alice"

    def __post_init__(self) -> None:
        world = self.world
        dynamodb = world.client("dynamodb")
        self.journal = Journal(dynamodb, TABLE, "local")
        self.lease = Lease(dynamodb, TABLE, "local", world.clock, self.profile.lease, owner=self.name)
        self.router = WorldRouter(world)
        self.fleet = WorldFleet(world, ImageParameters(world.client("ssm"), world.outputs.image_parameters))
        self.smoke = WorldSmoke(world, self.router)
        self.source = WorldSource(world)
        self.effects = Effects(
            router=self.router,
            fleet=self.fleet,
            smoke=self.smoke,
            analysis=ColourAnalysis(self.source, self.profile.limits, self.profile.min_requests, world.clock),
            migrations=NoMigrations(),
            profile=self.profile,
            clock=world.clock,
            fence=self.lease.keep,
        )

    def new_run(self, version: str, **changes: Any) -> Run:
        live = self.router.read()
        old: Colour = "blue" if live.weights["blue"] == 100 else "green"
        now = self.world.clock.now()
        run = Run(
            run_id=f"{int(now * 1000)}-{uuid.uuid4().hex[:6]}",
            environment="local",
            kind="release",
            old=old,
            new="green" if old == "blue" else "blue",
            version=version,
            image=version,
            old_image=self.fleet.image(old),
            steps=self.profile.steps,
            bake_seconds=self.profile.bake,
            started_at=now,
            started_by=self.name,
            entered_at=now,
            stickiness_seconds=live.stickiness_seconds,
        )
        return replace(run, **changes)

    def start(self, version: str, **changes: Any) -> Run:
        self.lease.take(f"release {version}")
        run = self.new_run(version, **changes)
        self.journal.create(run, self.lease)
        return self.drive(run)

    def resume(self) -> Run:
        """What `superagent release resume` does after a crash."""
        self.lease.take("resume")
        current = self.journal.current()
        assert current is not None
        return self.drive(self.journal.adopt(current.run_id, self.lease))

    def drive(self, run: Run) -> Run:
        world = self.world
        announcer = Announcements(
            sns=world.client("sns"),
            topic_arn=world.outputs.alert_topic_arn,
            ledger=Ledger(world.client("dynamodb"), TABLE, "local"),
            metrics_folder=world.metrics_folder,
            clock=world.clock,
            warn=world.log.append,
            grafana=world.grafana,
        )
        controller = Controller(
            journal=self.journal,
            lease=self.lease,
            performer=self.effects,
            announcer=announcer,
            clock=world.clock,
            poll_seconds=self.profile.poll,
        )
        ended = controller.drive(run)
        self.lease.give_back()
        return ended


@cache
def client(service: str) -> Any:
    """One client a service for all tests: making one costs more than most tests."""
    session = boto3.Session(aws_access_key_id="t", aws_secret_access_key="t", region_name=REGION)
    return session.client(service, config=Config(retries={"mode": "standard", "total_max_attempts": 4}))


@contextmanager
def new_world(folder: Path) -> Iterator[World]:
    """Blue runs v1 with all traffic; green is empty."""
    with mock_aws():
        world = World(_provision(client), client, FakeClock())
        world.metrics_folder = folder
        fleet = WorldFleet(world, ImageParameters(client("ssm"), world.outputs.image_parameters))
        fleet.set_image("blue", "v1")
        fleet.scale_up("blue", "green")
        world.log.clear()
        yield world


def _provision(client: Callable[[str], Any]) -> StackOutputs:
    ec2, elb = client("ec2"), client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    balancer = elb.create_load_balancer(Name="superagent", Subnets=subnets)["LoadBalancers"][0]
    groups: dict[Colour, str] = {}
    for colour in ("blue", "green"):
        made = elb.create_target_group(
            Name=f"superagent-{colour}", Protocol="HTTP", Port=8000, VpcId=vpc, TargetType="ip",
            HealthCheckPath="/health/ready",
        )  # fmt: skip
        groups[colour] = made["TargetGroups"][0]["TargetGroupArn"]  # type: ignore[index]
        elb.modify_target_group_attributes(
            TargetGroupArn=groups[colour],  # type: ignore[index]
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}],
        )
    forward = {
        "TargetGroups": [
            {"TargetGroupArn": groups["blue"], "Weight": 100},
            {"TargetGroupArn": groups["green"], "Weight": 0},
        ],
        "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 30},
    }
    arn = balancer["LoadBalancerArn"]
    production = elb.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "ForwardConfig": forward}],
    )["Listeners"][0]["ListenerArn"]
    test = elb.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=9000,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": groups["green"]}],
    )["Listeners"][0]["ListenerArn"]
    client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    topic = client("sns").create_topic(Name="superagent-alerts")["TopicArn"]
    return StackOutputs(
        environment="local",
        region=REGION,
        compute="local",
        vpc_id=vpc,
        alb_arn=arn,
        alb_dns_name=balancer["DNSName"],
        listener_arn=production,
        test_listener_arn=test,
        target_group_arns=groups,
        image_parameters={"blue": "/superagent/local/blue/image", "green": "/superagent/local/green/image"},
        release_table=TABLE,
        backup_bucket="backups",
        database_pointer="/superagent/local/database",
        alert_topic_arn=topic,
    )
