"""What AWS would serve and this load balancer cannot: said once, instead of passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from infra.local.alb.model import Edge, Target, Unsupported


def reachable(target: Target) -> bool:
    """Whether a target has an address of its own; an instance or a function has none on this machine."""
    try:
        ip_address(target.id)
    except ValueError:
        return False
    return True


def passed_over(edge: Edge) -> Iterator[str]:
    """One sentence for everything in `edge` that gets no traffic here, with the way out."""
    for listener in edge.listeners:
        if listener.protocol != "HTTP":
            yield (
                f"port {listener.port} stays closed: its listener speaks {listener.protocol}, and TLS has no"
                " place on loopback; give it the protocol HTTP"
            )
        for rule in listener.rules:
            if isinstance(rule.action, Unsupported):
                yield f"port {listener.port} answers 500 to requests for the action {rule.action.what}"
    for group in edge.groups.values():
        for target in group.targets:
            if not reachable(target):
                yield (
                    f"target {target.id} of {group.name} gets no traffic: it has no address on this machine;"
                    " register an IP in a target group of type ip"
                )
