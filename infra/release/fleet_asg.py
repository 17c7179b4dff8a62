"""A colour as an Auto Scaling group, found by the target group that it registers its instances in.

Instances read their image from the colour's SSM parameter at boot (infra/stack/bootstrap.py), so a new image
needs new instances: the idle group is empty before it grows. While a release is under way neither group may
shrink by itself, or there would be too little to go back to: both minimum sizes are held at the desired ones.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.errors import OperationFailed, UserError
from infra.release.fleet import Capacity, Instance, Migration, Rollout, within
from infra.release.image import ImageParameters, find_in_ecr
from infra.stack.fetch import AS_OWNER, OWNER_URL
from infra.stack.outputs import COLOURS, Colour

FLOOR_TAG: Final = "MinSize"
"""Tag of the group with the size that the live colour never goes below (infra/stack/fleet_ec2.py)."""
SECRETS: Final = "/run/superagent/secrets"
OWNED: Final = "/run/superagent/migrate"
"""A tmpfs folder that exists while a migration runs."""
MIGRATE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class AsgFleet:
    """Fleet on EC2."""

    autoscaling: Any
    ssm: Any
    ecr: Any
    images: ImageParameters
    target_groups: Mapping[Colour, str]
    open_requests: Callable[[Colour], int | None]
    """From the metric store."""

    def image(self, colour: Colour) -> str:
        value = self.images.read(colour)
        return "" if value == "none" else value

    def set_image(self, colour: Colour, image: str) -> None:
        self.images.write(colour, image)

    def find_image(self, image: str) -> str | None:
        return find_in_ecr(self.ecr, image)

    def scale_up(self, colour: Colour, like: Colour) -> None:
        ours, theirs = self._group(colour), self._group(like)
        wanted = max(ours["DesiredCapacity"], theirs["DesiredCapacity"], _floor(ours), 1)
        if wanted > ours["MaxSize"]:
            raise OperationFailed(
                f"{colour} may have {ours['MaxSize']} instances, {wanted} are needed: raise its maximum first"
            )
        if theirs["DesiredCapacity"]:
            self._hold(like, theirs, theirs["DesiredCapacity"])
        self._resize(colour, ours, wanted, wanted)

    def rollout(self, colour: Colour) -> Rollout:
        group = self._group(colour)
        return Rollout(group["DesiredCapacity"], len(_in_service(group)))

    def capacity(self, colour: Colour) -> Capacity:
        group = self._group(colour)
        return Capacity(group["DesiredCapacity"], max(1, group["MinSize"]), group["MaxSize"])

    def resize(self, colour: Colour, instances: int) -> None:
        group = self._group(colour)
        within(self.capacity(colour), colour, instances)
        self._resize(colour, group, group["MinSize"], instances)

    def scale_down(self, colour: Colour) -> None:
        self._resize(colour, self._group(colour), 0, 0)
        for other in COLOURS:
            if other != colour:
                group = self._group(other)
                self._hold(other, group, min(_floor(group), group["DesiredCapacity"]))

    def stopped(self, colour: Colour) -> bool:
        group = self._group(colour)
        return not group["Instances"] and group["DesiredCapacity"] == 0

    def instances(self, colour: Colour) -> list[Instance]:
        return [
            Instance(
                name=found["InstanceId"],
                version=self.image(colour),
                ready=found["LifecycleState"] == "InService" and found["HealthStatus"].lower() == "healthy",
                detail=f"{found['LifecycleState']} in {found['AvailabilityZone']}",
            )
            for found in self._group(colour)["Instances"]
        ]

    def in_flight(self, colour: Colour) -> int | None:
        return self.open_requests(colour)

    def migrate(self, colour: Colour, image: str) -> Migration:
        return InstanceMigration(self, colour, image)

    def running_instance(self) -> str | None:
        """Any instance in service, of either colour."""
        for colour in COLOURS:
            if ready := _in_service(self._group(colour)):
                return str(ready[0]["InstanceId"])
        return None

    def _group(self, colour: Colour) -> dict[str, Any]:
        wanted = self.target_groups[colour]
        pages = self.autoscaling.get_paginator("describe_auto_scaling_groups").paginate()
        for page in pages:
            for group in page["AutoScalingGroups"]:
                if wanted in group.get("TargetGroupARNs", []):
                    found: dict[str, Any] = group
                    return found
        raise UserError(
            f"No Auto Scaling group registers its instances in {colour}'s target group.", "Run `pulumi up`."
        )

    def _hold(self, colour: Colour, group: Mapping[str, Any], minimum: int) -> None:
        """Set the smallest size alone: the group may have grown under load since it was read."""
        if group["MinSize"] == minimum:
            return
        self.autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=group["AutoScalingGroupName"], MinSize=minimum
        )
        if (live := self._group(colour)["MinSize"]) != minimum:
            raise OperationFailed(f"{colour}'s group has minimum {live} after it was set to {minimum}.")

    def _resize(self, colour: Colour, group: Mapping[str, Any], minimum: int, desired: int) -> None:
        if (group["MinSize"], group["DesiredCapacity"]) == (minimum, desired):
            return
        self.autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=group["AutoScalingGroupName"], MinSize=minimum, DesiredCapacity=desired
        )
        live = self._group(colour)
        if (live["MinSize"], live["DesiredCapacity"]) != (minimum, desired):
            raise OperationFailed(
                f"{colour}'s group has size {live['DesiredCapacity']} after it was set to {desired}."
            )


@dataclass(slots=True)
class InstanceMigration:
    """`migrate` of the new image on a running instance, by SSM Run Command.

    In an environment where nothing runs yet, the idle colour gets its first instance for it.
    """

    fleet: AsgFleet
    colour: Colour
    image: str
    command_id: str = ""
    instance: str = ""

    def poll(self) -> str | None:
        if not self.command_id:
            self._send()
            return None
        try:
            found = self.fleet.ssm.get_command_invocation(CommandId=self.command_id, InstanceId=self.instance)
        except ClientError as failed:
            if failed.response["Error"]["Code"] == "InvocationDoesNotExist":
                return None  # Run Command answers before the invocation can be read
            raise
        if found["Status"] in ("Pending", "InProgress", "Delayed"):
            return None
        if found["Status"] == "Success":
            return ""
        lines = found.get("StandardErrorContent", "").strip().splitlines()
        return lines[-1] if lines else f"the command on {self.instance} ended as {found['Status']}"

    def _send(self) -> None:
        instance = self.fleet.running_instance()
        if instance is None:
            if self.fleet.stopped(self.colour):
                self.fleet.set_image(self.colour, self.image)
                other: Colour = "green" if self.colour == "blue" else "blue"
                self.fleet.scale_up(self.colour, other)
            return
        try:
            sent = self.fleet.ssm.send_command(
                InstanceIds=[instance],
                DocumentName="AWS-RunShellScript",
                Comment="superagent migrate",
                Parameters={"commands": script(self.image), "executionTimeout": [str(MIGRATE_SECONDS)]},
            )
        except ClientError as failed:
            if failed.response["Error"]["Code"] == "InvalidInstanceId":
                return  # its agent has not registered yet
            raise
        self.command_id, self.instance = sent["Command"]["CommandId"], instance


def script(image: str) -> list[str]:
    """The shell lines of a migration on an instance: the owner's login for its length, the new image."""
    registry, quoted = shlex.quote(image.split("/")[0]), shlex.quote(image)
    return [
        "set -eu",
        f"trap 'rm -rf {OWNED}' EXIT",
        f"{AS_OWNER}=yes /usr/local/bin/superagent-secrets {OWNED}",
        f"aws ecr get-login-password | docker login --username AWS --password-stdin {registry}",
        f"docker pull --quiet {quoted}",
        "docker run --rm --network host --env-file /etc/superagent/environment "
        f"--env SUPERAGENT_DATABASE_OWNER_URL_FILE={OWNED}/{OWNER_URL} "
        f"--read-only --tmpfs /tmp --cap-drop ALL --user 10001:10001 "
        # Twice: the URLs name the certificates by the folder that they were written to.
        f"--volume {OWNED}:{OWNED}:ro --volume {OWNED}:{SECRETS}:ro {quoted} migrate --json",
    ]


def _floor(group: Mapping[str, Any]) -> int:
    tags = {tag["Key"]: tag["Value"] for tag in group.get("Tags", [])}
    value = tags.get(FLOOR_TAG, "1")
    return int(value) if value.isdigit() else 1


def _in_service(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        found
        for found in group["Instances"]
        if found["LifecycleState"] == "InService" and found["HealthStatus"].lower() == "healthy"
    ]
