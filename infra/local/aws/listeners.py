"""What AWS checks when a listener's actions change, and moto does not."""

from __future__ import annotations

from typing import Any, Final

from moto.elbv2.exceptions import ValidationError
from moto.elbv2.models import ELBv2Backend, FakeAction

from infra.local.aws.emulator import replace

MOST_WEIGHT: Final = 999


def install() -> None:
    """`ModifyListener` refuses unknown target groups and impossible weights, and attaches what it names."""
    modify = ELBv2Backend.modify_listener

    def checked(
        backend: ELBv2Backend,
        arn: str,
        port: Any = None,
        protocol: Any = None,
        ssl_policy: Any = None,
        certificates: Any = None,
        actions: list[dict[str, Any]] | None = None,
    ) -> Any:
        _refuse_weights(actions or [])
        backend._validate_actions([FakeAction(one) for one in actions or []])
        listener = modify(backend, arn, port, protocol, ssl_policy, certificates, actions)
        for action in actions or []:
            for group in backend._get_target_group_arns_from(action):
                attached = backend.target_groups[group].load_balancer_arns
                if listener.load_balancer_arn not in attached:
                    attached.append(listener.load_balancer_arn)
        return listener

    replace(ELBv2Backend, "modify_listener", checked)


def _refuse_weights(actions: list[dict[str, Any]]) -> None:
    for action in actions:
        for group in action.get("ForwardConfig", {}).get("TargetGroups", []):
            weight = int(group.get("Weight", 1))
            if not 0 <= weight <= MOST_WEIGHT:
                raise ValidationError(f"Target group weight '{weight}' must be between 0 and {MOST_WEIGHT}")
