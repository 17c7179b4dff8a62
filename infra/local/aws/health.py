"""What `describe_target_health` answers: the word of the data plane, in the words of AWS.

moto calls every registered target healthy. Here the load balancer (`infra/local/alb`) reports what its
health checks see, and a target is healthy only while such a report is fresh. States and reason codes:
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup, elbv2_backends

from infra.local.aws.emulator import replace

REPORT_LIFETIME: Final = 10.0
"""Seconds after which a report says nothing any more: the data plane repeats it every second or so."""
STATES: Final = frozenset({"initial", "healthy", "unhealthy", "unused", "draining", "unavailable"})

REGISTERING = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
NOT_IN_USE = (
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
NOT_REGISTERED = ("unused", "Target.NotRegistered", "Target is not registered to the target group")
DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
NO_REPORT = ("unavailable", "Elb.InternalError", "The load balancer has stopped reporting target health")


@dataclass(frozen=True, slots=True)
class Report:
    """What the data plane saw of one target; `at` is seconds of the monotonic clock."""

    state: str
    reason: str | None
    description: str | None
    at: float


class HealthBoard:
    """The newest report per target. In memory only: after a restart the next report is a second away."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reports: dict[tuple[str, str], Report] = {}
        self._drained: set[tuple[str, str]] = set()

    def report(self, body: Any) -> None:
        """Take `{target_group_arn: {target_id: {state, reason?, description?}}}`.

        Raises `ValueError` naming the field that is wrong; then nothing was taken.
        """
        taken: dict[tuple[str, str], Report] = {}
        for arn, targets in _mapping(body, "body").items():
            for target, said in _mapping(targets, arn).items():
                field = f"{arn}.{target}"
                state = _mapping(said, field).get("state")
                if state not in STATES:
                    raise ValueError(
                        f"{field}.state is {state!r}; one of {', '.join(sorted(STATES))} is needed"
                    )
                taken[arn, target] = Report(state, said.get("reason"), said.get("description"), self._clock())
        self._reports.update(taken)
        self._drained |= {key for key, report in taken.items() if report.state == "unused"}

    def seen(self, arn: str, target: str) -> tuple[str, str | None, str | None]:
        """State, reason and description of a registered target."""
        report = self._reports.get((arn, target))
        if report is None or report.state in ("draining", "unused"):
            return REGISTERING  # a report about the life before this one says nothing
        if self._clock() - report.at > REPORT_LIFETIME:
            return NO_REPORT
        return report.state, report.reason, report.description

    def forget(self, arn: str, target: str) -> None:
        """A target was registered or deregistered: what was seen before is about another life of it."""
        self._reports.pop((arn, target), None)
        self._drained.discard((arn, target))

    def is_drained(self, arn: str, target: str) -> bool:
        """True once the data plane said that nothing is in flight to a deregistered target any more."""
        return (arn, target) in self._drained

    def clear(self) -> None:
        self._reports.clear()
        self._drained.clear()


def _mapping(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{field} must be an object, not {type(value).__name__}")
    return value


def install(board: HealthBoard) -> None:
    """Teach moto's target groups the life of a target: initial, healthy, draining, unused."""
    moto_health_for = FakeTargetGroup.health_for
    moto_register = FakeTargetGroup.register
    moto_deregister = FakeTargetGroup.deregister

    def register(group: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            # Registering what is registered changes nothing in AWS; a new target starts unknown.
            if target["Id"] not in group.targets:
                board.forget(group.arn, target["Id"])
        moto_register(group, targets)

    def deregister(group: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        # AWS takes a target that is registered no more for deregistered; moto would refuse the whole call.
        leaving = [target for target in targets if target["Id"] in group.targets]
        moto_deregister(group, leaving)
        for target in leaving:
            board.forget(group.arn, target["Id"])
            if _in_use(group):  # only then there is traffic that has to drain
                group.deregistered_targets[target["Id"]]["Since"] = time.time()

    def health_for(group: FakeTargetGroup, target: dict[str, Any], ec2_backend: Any) -> FakeHealthStatus:
        name = target["Id"]
        if name not in group.targets:
            gone = group.deregistered_targets.get(name)
            state = DRAINING if gone and _is_draining(group, name) else NOT_REGISTERED
            port = str((gone or {}).get("Port") or target.get("Port") or group.port)
            return FakeHealthStatus(name, port, group.health_check_port, *state)
        answer = moto_health_for(group, target, ec2_backend)
        if answer.status != "healthy":  # a stopped instance, say: moto knows better
            return answer
        seen = board.seen(group.arn, name) if _in_use(group) else NOT_IN_USE
        return FakeHealthStatus(name, answer.port, group.health_check_port, *seen)

    def describe(backend: ELBv2Backend, target_group_arn: str, targets: list[dict[str, Any]]) -> Any:
        (group,) = backend.describe_target_groups(None, [target_group_arn], None)
        asked = targets or [
            *group.targets.values(),
            *(one for name, one in group.deregistered_targets.items() if _is_draining(group, name)),
        ]
        return [group.health_for(target, backend.ec2_backend) for target in asked]

    def _is_draining(group: FakeTargetGroup, name: str) -> bool:
        since = group.deregistered_targets[name].get("Since")
        if since is None or board.is_drained(group.arn, name):
            return False
        delay: Any = group.attributes["deregistration_delay.timeout_seconds"]
        return bool(time.time() < since + float(delay))

    replace(FakeTargetGroup, "register", register)
    replace(FakeTargetGroup, "deregister", deregister)
    replace(FakeTargetGroup, "health_for", health_for)
    replace(ELBv2Backend, "describe_target_health", describe)


def _in_use(group: FakeTargetGroup) -> bool:
    """A listener or rule forwards to the group. Weight 0 counts: AWS health-checks such a group as well."""
    return elbv2_backends[group.account_id][group.region_name]._any_listener_using(group.arn)
