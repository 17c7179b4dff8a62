"""One contract, three fleets: processes, Auto Scaling groups (moto), Deployments (a strict fake API)."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID

from infra.errors import OperationFailed, UserError
from infra.release.fleet import Fleet
from infra.release.fleet_asg import AsgFleet, script
from infra.release.fleet_eks import EksFleet
from infra.release.fleet_local import LocalFleet
from infra.release.image import ImageParameters
from infra.stack.outputs import Colour
from tests.infra.release.kube import estate as kube_estate
from tests.infra.release.world import REGION, World, client, new_world

REPOSITORY = f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/superagent"
V1, V2 = f"{REPOSITORY}:v1", f"{REPOSITORY}:v2"


@dataclass(frozen=True)
class ProcessSlot:
    name: str
    host: str = "127.0.0.1"
    port: int = 1
    metrics_port: int = 1


@dataclass
class ProcessSlots:
    """Slots that are real, if idle, processes."""

    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    migration: tuple[str, ...] = ("-c", "pass")
    sizes: dict[Colour, int] = field(default_factory=dict)

    def most(self, colour: Colour) -> int:
        return 2

    def of(self, colour: Colour) -> list[ProcessSlot]:
        return [ProcessSlot(f"{colour}-{n}") for n in range(1, 1 + self.sizes.get(colour, 2))]

    def resize(self, colour: Colour, count: int) -> None:
        self.sizes[colour] = count
        wanted = {slot.name for slot in self.of(colour)}
        for name in self.running(colour):
            if name not in wanted:
                self.processes[name].terminate()
        self.start(colour, "")

    def start(self, colour: Colour, version: str) -> None:
        for slot in self.of(colour):
            if slot.name not in self.running(colour):
                self.processes[slot.name] = subprocess.Popen(
                    [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
                )

    def stop(self, colour: Colour) -> None:
        for name in self.running(colour):
            self.processes[name].terminate()

    def running(self, colour: Colour) -> list[str]:
        return [
            name
            for name, process in self.processes.items()
            if name.startswith(colour) and process.poll() is None
        ]

    def migrate_command(self) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, *self.migration], {}


@dataclass
class Subject:
    """A fleet, and how a test makes its migration fail."""

    fleet: Fleet
    fail_migration: Callable[[], None]


def local_fleet(world: World) -> Iterator[Subject]:
    slots = ProcessSlots()
    fleet = LocalFleet(slots, ImageParameters(client("ssm"), world.outputs.image_parameters))

    def fail() -> None:
        slots.migration = ("-c", "import sys; sys.exit('relation users does not exist')")

    yield Subject(fleet, fail)
    for process in slots.processes.values():
        process.kill()
        process.wait()


MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def push_images(*tags: str) -> None:
    ecr = client("ecr")
    ecr.create_repository(repositoryName="superagent")
    for tag in tags:
        manifest = f'{{"schemaVersion": 2, "mediaType": "{MANIFEST}", "tag": "{tag}"}}'
        ecr.put_image(repositoryName="superagent", imageManifest=manifest, imageTag=tag)


def asg_fleet(world: World) -> Iterator[Subject]:
    push_images("v1", "v2")
    ec2, autoscaling = client("ec2"), client("autoscaling")
    image = ec2.register_image(Name="al2023", RootDeviceName="/dev/xvda")["ImageId"]
    template = ec2.create_launch_template(
        LaunchTemplateName="fleet", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [world.outputs.vpc_id]}])["Subnets"]
    for colour, group in world.outputs.target_group_arns.items():
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=f"superagent-local-{colour}",
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
            MinSize=0,
            MaxSize=4,
            DesiredCapacity=0,
            VPCZoneIdentifier=",".join(subnet["SubnetId"] for subnet in subnets),
            TargetGroupARNs=[group],
            Tags=[{"Key": "MinSize", "Value": "2", "PropagateAtLaunch": True}],
        )
    ssm = FailingCommands()
    fleet = AsgFleet(
        autoscaling=autoscaling,
        ssm=ssm,
        ecr=client("ecr"),
        images=ImageParameters(client("ssm"), world.outputs.image_parameters),
        target_groups=world.outputs.target_group_arns,
        open_requests=lambda colour: None,
    )

    def fail() -> None:
        ssm.error = "relation users does not exist"

    yield Subject(fleet, fail)


class FailingCommands:
    """moto's SSM, whose commands always succeed, with an outcome that the test chooses."""

    error = ""

    def send_command(self, **request: Any) -> Any:
        return client("ssm").send_command(**request)

    def get_command_invocation(self, **request: Any) -> Any:
        found = client("ssm").get_command_invocation(**request)
        return {**found, "Status": "Failed", "StandardErrorContent": self.error} if self.error else found


class PodTargets:
    """What the load-balancer controller does for a TargetGroupBinding, in moto's target groups."""

    def __init__(self, world: World) -> None:
        self._elb, self._groups = client("elbv2"), world.outputs.target_group_arns

    def register(self, colour: Colour, address: str) -> None:
        self._elb.register_targets(TargetGroupArn=self._groups[colour], Targets=[{"Id": address}])

    def deregister(self, colour: Colour, address: str) -> None:
        self._elb.deregister_targets(TargetGroupArn=self._groups[colour], Targets=[{"Id": address}])

    def healthy(self, colour: Colour, address: str) -> bool:
        answer = self._elb.describe_target_health(TargetGroupArn=self._groups[colour])
        return any(
            found["Target"]["Id"] == address and found["TargetHealth"]["State"] == "healthy"
            for found in answer["TargetHealthDescriptions"]
        )


def eks_fleet(world: World) -> Iterator[Subject]:
    push_images("v1", "v2")
    cluster = kube_estate.cluster(f"{REPOSITORY}:none")
    cluster.targets = PodTargets(world)
    with kube_estate.connected(cluster) as kube:
        images = ImageParameters(client("ssm"), world.outputs.image_parameters)

        def fail() -> None:
            cluster.job_fails = "relation users does not exist"

        yield Subject(EksFleet(kube, images, client("ecr"), lambda colour: None), fail)
    assert cluster.violations == []
    cluster.check_all()


@pytest.fixture(params=[local_fleet, asg_fleet, eks_fleet], ids=["local", "ec2", "eks"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with new_world(tmp_path) as world:
        yield from request.param(world)


@pytest.fixture
def fleet(subject: Subject) -> Fleet:
    return subject.fleet


def until(condition: Callable[[], bool], what: str) -> None:
    """Each look also lets the controllers of the fakes turn once."""
    for _ in range(400):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError(f"never: {what}")


def running(fleet: Fleet, colour: Colour, like: Colour, image: str) -> None:
    fleet.set_image(colour, image)
    fleet.scale_up(colour, like)
    until(lambda: fleet.rollout(colour).complete, f"{colour} runs")


def test_the_image_that_was_set_is_the_image_that_is_read(fleet: Fleet) -> None:
    fleet.set_image("green", V2)
    assert fleet.image("green") == V2


def test_a_colour_that_never_ran_is_stopped(fleet: Fleet) -> None:
    assert fleet.stopped("green")
    assert not fleet.rollout("green").complete
    assert fleet.instances("green") == []


def test_scaling_up_ends_in_a_complete_rollout(fleet: Fleet) -> None:
    running(fleet, "green", "blue", V2)
    rollout = fleet.rollout("green")
    assert (rollout.desired, rollout.ready, rollout.problem) == (2, 2, "")
    assert {(one.version, one.ready) for one in fleet.instances("green")} == {(V2, True)}
    assert not fleet.stopped("green")


def test_a_colour_gets_the_capacity_of_the_other(fleet: Fleet) -> None:
    running(fleet, "blue", "green", V1)
    running(fleet, "green", "blue", V2)
    assert fleet.rollout("green").desired == fleet.rollout("blue").desired


def test_scaling_up_twice_is_scaling_up_once(fleet: Fleet) -> None:
    running(fleet, "green", "blue", V2)
    before = {one.name for one in fleet.instances("green")}
    running(fleet, "green", "blue", V2)
    assert {one.name for one in fleet.instances("green")} == before


def test_scaling_down_stops_one_colour_and_leaves_the_other(fleet: Fleet) -> None:
    running(fleet, "blue", "green", V1)
    running(fleet, "green", "blue", V2)
    fleet.scale_down("blue")
    fleet.scale_down("blue")
    until(lambda: fleet.stopped("blue"), "blue stops")
    assert fleet.rollout("green").complete
    assert fleet.image("green") == V2


def test_a_stopped_colour_can_come_back(fleet: Fleet) -> None:
    running(fleet, "blue", "green", V1)
    fleet.scale_down("blue")
    until(lambda: fleet.stopped("blue"), "blue stops")
    running(fleet, "blue", "green", V1)
    assert not fleet.stopped("blue")


def test_bringing_a_colour_to_the_size_of_a_smaller_one_takes_nothing_from_it(fleet: Fleet) -> None:
    running(fleet, "blue", "green", V1)
    running(fleet, "green", "blue", V2)
    fleet.resize("blue", fleet.capacity("blue").maximum)
    before = fleet.capacity("blue").desired
    fleet.scale_up("blue", "green")
    assert fleet.rollout("blue").desired == before


def test_a_running_colour_is_resized_within_its_bounds_and_not_beyond(fleet: Fleet) -> None:
    running(fleet, "blue", "green", V1)
    bounds = fleet.capacity("blue")
    assert bounds.desired == 2
    for size in (bounds.maximum, bounds.minimum):
        fleet.resize("blue", size)
        fleet.resize("blue", size)
        until(lambda: fleet.rollout("blue").complete, "the new size runs")
        until(lambda: len(fleet.instances("blue")) == size, "no more and no fewer than that")  # noqa: B023
        assert fleet.capacity("blue").desired == size
    for wrong in (bounds.minimum - 1, bounds.maximum + 1):
        with pytest.raises(OperationFailed, match="may have"):
            fleet.resize("blue", wrong)
    assert fleet.capacity("blue").desired == bounds.minimum


def finished(poll: Callable[[], str | None]) -> str:
    deadline = time.monotonic() + 10
    while (outcome := poll()) is None:
        assert time.monotonic() < deadline, "the migration never ends"
        time.sleep(0.01)
    return outcome


def test_a_migration_ends(fleet: Fleet) -> None:
    running(fleet, "blue", "green", V1)
    assert finished(fleet.migrate("green", V2).poll) == ""


def test_a_migration_that_was_forgotten_in_a_crash_can_be_asked_for_again(fleet: Fleet) -> None:
    running(fleet, "blue", "green", V1)
    fleet.migrate("green", V2).poll()
    assert finished(fleet.migrate("green", V2).poll) == ""


def test_a_failed_migration_says_why(subject: Subject) -> None:
    running(subject.fleet, "blue", "green", V1)
    subject.fail_migration()
    assert finished(subject.fleet.migrate("green", V2).poll) == "relation users does not exist"


def test_a_migration_that_ended_can_be_looked_at_again(subject: Subject) -> None:
    running(subject.fleet, "blue", "green", V1)
    migration = subject.fleet.migrate("green", V2)
    assert [finished(migration.poll), finished(migration.poll)] == ["", ""]


def test_an_image_that_was_never_pushed_is_not_found(subject: Subject) -> None:
    if isinstance(subject.fleet, LocalFleet):
        assert subject.fleet.find_image("v9") == "v9"  # every label runs this checkout
        return
    assert subject.fleet.find_image(f"{REPOSITORY}:v9") is None
    found = subject.fleet.find_image(V2)
    assert found is not None
    assert found.startswith(f"{REPOSITORY}@sha256:")
    with pytest.raises(UserError, match="not an ECR image"):
        subject.fleet.find_image("docker.io/library/nginx:latest")


# what only one of them has


def test_open_requests_of_a_process_that_does_not_say_are_unknown_and_not_none(world: World) -> None:
    for subject in local_fleet(world):
        assert subject.fleet.in_flight("blue") == 0  # nothing runs, so nothing is open
        running(subject.fleet, "blue", "green", V1)
        assert subject.fleet.in_flight("blue") is None  # no page answers on its port


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[AsgFleet]:
    with new_world(tmp_path) as world:
        for made in asg_fleet(world):
            assert isinstance(made.fleet, AsgFleet)
            yield made.fleet


def sizes(colour: Colour) -> tuple[int, int]:
    name = f"superagent-local-{colour}"
    answer = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    (group,) = answer["AutoScalingGroups"]
    return group["MinSize"], group["DesiredCapacity"]


def test_neither_group_may_shrink_by_itself_while_a_release_is_under_way(groups: AsgFleet) -> None:
    client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName="superagent-local-blue", MinSize=2, DesiredCapacity=3
    )
    groups.scale_up("green", "blue")
    assert (sizes("blue"), sizes("green")) == ((3, 3), (3, 3))
    groups.scale_down("blue")
    assert (sizes("blue"), sizes("green")) == ((0, 0), (2, 3))


class Growing:
    """The live group grows under load between the look at it and the change that follows."""

    def __init__(self, grow: Callable[[], None]) -> None:
        self._grow = grow

    def __getattr__(self, name: str) -> Any:
        return getattr(client("autoscaling"), name)

    def update_auto_scaling_group(self, **request: Any) -> Any:
        if request["AutoScalingGroupName"] == "superagent-local-blue":
            self._grow()
        return client("autoscaling").update_auto_scaling_group(**request)


def test_a_live_group_that_grows_meanwhile_keeps_what_it_got(groups: AsgFleet) -> None:
    def grow() -> None:
        client("autoscaling").set_desired_capacity(
            AutoScalingGroupName="superagent-local-blue", DesiredCapacity=4
        )

    client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName="superagent-local-blue", MinSize=2, DesiredCapacity=3
    )
    replace(groups, autoscaling=Growing(grow)).scale_up("green", "blue")
    assert sizes("blue") == (3, 4)
    replace(groups, autoscaling=Growing(grow)).scale_down("green")
    assert sizes("blue") == (2, 4)


def test_more_than_the_group_may_have_is_refused_before_anything_is_asked_for(groups: AsgFleet) -> None:
    client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName="superagent-local-green", MinSize=0, MaxSize=1
    )
    with pytest.raises(OperationFailed, match="raise its maximum"):
        groups.scale_up("green", "blue")
    assert sizes("green") == (0, 0)


def test_the_first_release_of_all_makes_its_own_instance_to_migrate_on(groups: AsgFleet) -> None:
    assert finished(groups.migrate("green", V2).poll) == ""
    assert groups.image("green") == V2


def test_a_migration_comes_as_the_owner_whose_login_goes_with_it() -> None:
    lines = script(V2)
    assert lines[1:3] == [
        "trap 'rm -rf /run/superagent/migrate' EXIT",
        "FETCH_OWNER=yes /usr/local/bin/superagent-secrets /run/superagent/migrate",
    ]
    assert "--env SUPERAGENT_DATABASE_OWNER_URL_FILE=/run/superagent/migrate/database_owner_url " in lines[-1]


def test_the_migration_script_quotes_the_image() -> None:
    hostile = "registry/x:v1; curl evil"
    assert all(hostile not in line or f"'{hostile}'" in line for line in script(hostile))
