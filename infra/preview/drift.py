"""Which live differences are somebody's job and which are drift: classified, never silenced.

Input is the digest that `pulumi refresh --preview-only --json` prints: `steps` with `op`, `urn`, old and new
state and a `detailedDiff` of changed paths (pulumi/pulumi, pkg/display, PreviewDigest).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from infra.errors import UserError
from infra.policy.access import LISTENER
from infra.policy.hygiene import GROUP

Verdict = Literal["release", "recovery", "aws", "drift", "unread", "unasked"]
"""Whose a difference is; or that AWS gave no answer (`unread`), or was not asked at all (`unasked`)."""
DEPLOYMENT: Final = "kubernetes:apps/v1:Deployment"
AUTOSCALER: Final = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
PARAMETER: Final = "aws:ssm/parameter:Parameter"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who changes this input of this type, and why that is no drift; or why it is, below what is none. The
    first one that fits counts."""

    type: str
    path: str
    verdict: Verdict
    why: str
    name: str = ""
    """Only resources whose name starts with it."""


OWNERS: Final = (
    Owner(
        LISTENER, "defaultActions[0].type", "drift", "the release tool forwards, and changes weights alone"
    ),
    Owner(LISTENER, "defaultActions", "release", "weights belong to the release tool"),
    Owner(GROUP, "desiredCapacity", "release", "the release tool and autoscaling set the size"),
    Owner(GROUP, "minSize", "release", "the release tool sets the floor of the live colour"),
    Owner(GROUP, "predictedCapacity", "aws", "reported by AWS"),
    Owner(GROUP, "warmPoolSize", "aws", "reported by AWS"),
    Owner(PARAMETER, "value", "release", "it names the image", "image-"),
    Owner(PARAMETER, "version", "release", "grows with every image", "image-"),
    Owner(PARAMETER, "value", "recovery", "a cutover switched the database", "database"),
    Owner(PARAMETER, "version", "recovery", "grows with every cutover", "database"),
    Owner(DEPLOYMENT, "spec.replicas", "release", "the release tool and the HPA set the size"),
    Owner(DEPLOYMENT, "spec.template.spec.containers[0].image", "release", "it names the image"),
    Owner(DEPLOYMENT, "spec.template.spec.containers[0].env", "release", "the version goes with the image"),
    Owner(AUTOSCALER, "spec.minReplicas", "release", "the release tool holds the floor of a colour"),
    Owner(AUTOSCALER, "status", "aws", "reported by Kubernetes"),
    Owner(DEPLOYMENT, "status", "aws", "reported by Kubernetes"),
    Owner("aws:eks/nodeGroup:NodeGroup", "scalingConfig.desiredSize", "aws", "the autoscaler sets it"),
    Owner("aws:rds/instance:Instance", "latestRestorableTime", "aws", "moves every five minutes"),
    Owner("aws:dynamodb/table:Table", "streamLabel", "aws", "reported by AWS"),
    Owner("aws:ecr/repository:Repository", "imageCount", "aws", "reported by AWS"),
)


@dataclass(frozen=True, slots=True)
class Classified:
    """One difference and whose it is."""

    urn: str
    type: str
    path: str
    change: str
    verdict: Verdict
    why: str

    @property
    def drift(self) -> bool:
        return self.verdict == "drift"

    @property
    def clean(self) -> bool:
        """Nothing to look at: somebody's job, or another tool's to compare. No answer is no good answer."""
        return self.verdict not in ("drift", "unread")

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[-1]

    def document(self) -> dict[str, Any]:
        return asdict(self)


def read(text: str) -> list[dict[str, Any]]:
    """Steps of the digest. Raises `UserError` when the text is something else."""
    try:
        digest = json.loads(text)
        steps = digest["steps"] if "steps" in digest or "changeSummary" not in digest else []
        if not all(isinstance(step["urn"], str) and isinstance(step["op"], str) for step in steps):
            raise TypeError("a step lacks urn or op")
    except (ValueError, KeyError, TypeError) as wrong:
        raise UserError(
            f"The input is no digest of Pulumi ({type(wrong).__name__}: {wrong}).",
            "Give the output of `pulumi refresh --preview-only --json`.",
        ) from None
    return list(steps)


def classify(steps: list[dict[str, Any]]) -> list[Classified]:
    """Every difference, drift first."""
    found = [one for step in steps for one in _step(step)]
    return sorted(found, key=lambda one: (not one.drift, one.urn, one.path))


def _step(step: Mapping[str, Any]) -> Iterator[Classified]:
    urn, operation = step["urn"], step["op"]
    kind = urn.split("::")[2].split("$")[-1]
    if operation in ("same", "read") or kind.startswith("pulumi:"):
        return
    if operation in ("delete", "discard") or (operation == "refresh" and step.get("newState") is None):
        yield gone(urn, kind)
        return
    detailed = step.get("detailedDiff") or {reason: {} for reason in step.get("diffReasons") or []}
    for path, how in detailed.items():
        yield judge(urn, kind, path, _change(path, str(how.get("kind", "update")), step))


def gone(urn: str, kind: str) -> Classified:
    """A resource that is declared and is not there: always drift."""
    return Classified(urn, kind, "", "is gone", "drift", "somebody deleted it outside Pulumi")


def unread(urn: str, kind: str, reason: str) -> Classified:
    """A resource that was asked for in vain: it may be anything."""
    return Classified(urn, kind, "", "no answer", "unread", reason)


def not_compared(urn: str, kind: str, path: str, why: str) -> Classified:
    """A resource, or one value of it, that nobody here compares."""
    return Classified(urn, kind, path, "not compared", "unasked", f"{why}; `pulumi refresh` does it")


def judge(urn: str, kind: str, path: str, change: str) -> Classified:
    """Whose difference it is that `path` of a resource is not as declared."""
    name = urn.rsplit("::", 1)[-1]
    for owner in OWNERS:
        below = path == owner.path or path.startswith((f"{owner.path}.", f"{owner.path}["))
        if owner.type == kind and below and name.startswith(owner.name):
            return Classified(urn, kind, path, change, owner.verdict, owner.why)
    why = "changed outside Pulumi; `pulumi up` sets it back, or take it into the program"
    return Classified(urn, kind, path, change, "drift", why)


def _change(path: str, how: str, step: Mapping[str, Any]) -> str:
    """`old → new` where the digest has both, in short."""
    old, new = (_at(step.get(side), path) for side in ("oldState", "newState"))
    return how if old is None and new is None else f"{json.dumps(old)[:60]} → {json.dumps(new)[:60]}"


def _at(state: Any, path: str) -> Any:
    """Value of an output at a path; None when it is not there or is a secret."""
    value = (state or {}).get("outputs")
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return "[secret]" if isinstance(value, Mapping) and "ciphertext" in value else value
