"""Everything a preview has to say, once; the forms below only write it down."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from infra.policy.model import Estate, Finding
from infra.policy.rules import findings
from infra.preview.cost import Estimate, estimate, prices
from infra.preview.diff import KINDS, Difference, difference
from infra.preview.estate import Recorded


@dataclass(frozen=True, slots=True)
class Report:
    """One stack at this revision, and the difference to a base when there is one."""

    stack: str
    estate: Recorded
    base: str | None
    change: Difference | None
    findings: list[Finding]
    cost: Estimate
    base_cost: Estimate | None

    @property
    def failed(self) -> bool:
        """Whether CI must stop: a policy is broken, or data would be lost."""
        return bool(self.findings) or bool(self.change and self.change.dangerous)

    @property
    def cost_change(self) -> float | None:
        return None if self.base_cost is None else round(self.cost.total - self.base_cost.total, 2)


def report(stack: str, estate: Recorded, base: str | None, old: Recorded | None) -> Report:
    """Put everything together; pure."""
    return Report(
        stack=stack,
        estate=estate,
        base=base,
        change=difference(old, estate) if old else None,
        findings=broken(estate),
        cost=estimate(estate),
        base_cost=estimate(old) if old else None,
    )


def broken(estate: Recorded) -> list[Finding]:
    """Policy findings, inputs against the SDK's types, and secrets among the outputs."""
    wrong = [
        Finding("sdk-types", urn, f"{estate.resources[urn].name}: {message}")
        for urn, messages in estate.mismatches.items()
        for message in messages
    ]
    exposed = [
        Finding("no-secret-outputs", "", f"the output {path.strip('/')} is a secret: do not export it")
        for path in estate.secret_outputs
    ]
    rules = findings(Estate(estate.environment, list(estate.resources.values())))
    return [*wrong, *exposed, *rules]


def document(one: Report) -> dict[str, Any]:
    """The JSON form."""
    estate = one.estate
    return {
        "stack": one.stack,
        "environment": estate.environment,
        "base": one.base,
        "resources": [
            {
                "urn": urn,
                "type": resource.type,
                "name": resource.name,
                "component": estate.component(urn),
                "parent": estate.parents.get(urn),
                "custom": urn in estate.custom,
                "protect": resource.protect,
                "ignore_changes": list(resource.ignore_changes),
                "inputs": hide(resource.inputs, resource.secrets),
            }
            for urn, resource in estate.resources.items()
        ],
        "changes": [] if one.change is None else [asdict(change) for change in one.change.changes],
        "summary": {} if one.change is None else {kind: one.change.count(kind) for kind in KINDS},
        "findings": [asdict(finding) for finding in one.findings],
        "cost": {
            "usd_per_month": round(one.cost.total, 2),
            "change": one.cost_change,
            "components": one.cost.components,
            "unpriced": one.cost.unpriced,
            "as_of": str(prices()["as_of"]),
        },
        "failed": one.failed,
    }


def hide(value: Any, secrets: tuple[str, ...] | Any, path: str = "") -> Any:
    """`value` with `[secret]` in the place of secret inputs."""
    if path and path in secrets:
        return "[secret]"
    if isinstance(value, dict):
        return {key: hide(item, secrets, f"{path}/{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [hide(item, secrets, f"{path}/{index}") for index, item in enumerate(value)]
    return value
