"""A colour as a Deployment; pods are targets through the TargetGroupBinding of the same colour.

Namespace, names and labels are those of infra/stack/kubernetes_objects.py.
While a release is under way the autoscalers may not shrink either colour: their minimum is held at the size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from infra.release.fleet import Capacity, Instance, Migration, Rollout, within
from infra.release.image import find_in_ecr
from infra.stack.fetch import AS_OWNER, OWNER_URL
from infra.stack.kube import Kube
from infra.stack.kubernetes_objects import (
    CONTAINER,
    FLOOR,
    MIGRATE_ACCOUNT,
    NAMESPACE,
    SECRETS,
    name,
    selector,
)
from infra.stack.outputs import COLOURS, Colour

JOBS: Final = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
NO_IMAGE: Final = "none"
"""Tag that Pulumi gives a colour before its first release (`initial_image`)."""
HOPELESS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff"})
"""Waiting reasons of a container that does not mend by itself."""
OVER: Final = frozenset({"Succeeded", "Failed"})
"""Phases of a pod whose containers have all ended for good."""


class Parameters(Protocol):
    """The image parameters, kept in step for everyone who reads them."""

    def write(self, colour: Colour, image: str) -> None: ...


@dataclass(frozen=True, slots=True)
class EksFleet:
    """Fleet on Kubernetes."""

    kube: Kube
    images: Parameters
    ecr: Any
    open_requests: Callable[[Colour], int | None]

    def image(self, colour: Colour) -> str:
        value: str = _container(self._deployment(colour))["image"]
        return "" if value.rpartition(":")[2] == NO_IMAGE else value

    def set_image(self, colour: Colour, image: str) -> None:
        version = {"name": "SUPERAGENT_VERSION", "value": image.rpartition(":")[2]}
        container = {"name": CONTAINER, "image": image, "env": [version]}
        self.kube.patch(self._path(colour), {"spec": {"template": {"spec": {"containers": [container]}}}})
        self.images.write(colour, image)

    def find_image(self, image: str) -> str | None:
        return find_in_ecr(self.ecr, image)

    def scale_up(self, colour: Colour, like: Colour) -> None:
        ours, theirs = (int(self._deployment(one)["spec"].get("replicas", 1)) for one in (colour, like))
        wanted = max(ours, theirs, self._floor(colour), 1)
        if theirs:
            self._hold(like, theirs)
        self._hold(colour, wanted)
        self._scale(colour, wanted)

    def rollout(self, colour: Colour) -> Rollout:
        found = self._deployment(colour)
        status, desired = found.get("status", {}), int(found["spec"].get("replicas", 1))
        seen = int(status.get("observedGeneration", 0)) >= int(found["metadata"]["generation"])
        ready = (
            min(int(status.get("updatedReplicas", 0)), int(status.get("availableReplicas", 0))) if seen else 0
        )
        for condition in status.get("conditions", []):
            if condition["type"] == "Progressing" and condition["status"] == "False":
                return Rollout(desired, ready, condition.get("message") or condition.get("reason", "stuck"))
        return Rollout(desired, ready, self._hopeless(colour))

    def capacity(self, colour: Colour) -> Capacity:
        desired = int(self._deployment(colour)["spec"].get("replicas", 1))
        found = self.kube.get(self._autoscaler(colour))
        most = int(found["spec"]["maxReplicas"]) if found is not None else max(1, desired)
        return Capacity(desired, max(1, self._floor(colour)), most)

    def resize(self, colour: Colour, instances: int) -> None:
        """The autoscaler would take a mere change of the size back: its minimum moves along."""
        within(self.capacity(colour), colour, instances)
        self._hold(colour, instances)
        self._scale(colour, instances)

    def scale_down(self, colour: Colour) -> None:
        self._scale(colour, 0)
        for other in COLOURS:
            if other != colour:
                self._hold(other, self._floor(other))

    def stopped(self, colour: Colour) -> bool:
        # Evicted pods lie there as `Failed` until there are thousands of them: nothing runs in one.
        left = [pod for pod in self._pods(colour) if pod.get("status", {}).get("phase") not in OVER]
        return int(self._deployment(colour)["spec"].get("replicas", 1)) == 0 and not left

    def instances(self, colour: Colour) -> list[Instance]:
        return [
            Instance(
                name=pod["metadata"]["name"],
                version=pod["spec"]["containers"][0]["image"],
                ready=any(
                    one["type"] == "Ready" and one["status"] == "True"
                    for one in pod.get("status", {}).get("conditions", [])
                ),
                detail=pod.get("status", {}).get("phase", ""),
            )
            for pod in self._pods(colour)
        ]

    def in_flight(self, colour: Colour) -> int | None:
        return self.open_requests(colour)

    def migrate(self, colour: Colour, image: str) -> Migration:
        title = f"superagent-migrate-{hashlib.sha256(image.encode()).hexdigest()[:10]}"
        migration = JobMigration(self.kube, title)
        found = self.kube.get(migration.path)
        if found is not None and _outcome(found):
            # Of an earlier release of this image: what made it fail may be mended, and a database that was
            # restored meanwhile has not seen it. A migration that was done finds nothing to do.
            self.kube.delete(migration.path)
            found = None
        if found is None:
            self.kube.create(JOBS, job(title, image, self._deployment(colour)))
        return migration

    def _path(self, colour: Colour) -> str:
        return f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name(colour)}"

    def _autoscaler(self, colour: Colour) -> str:
        return f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{name(colour)}"

    def _deployment(self, colour: Colour) -> dict[str, Any]:
        return self.kube.need(self._path(colour), "Run `pulumi up`.")

    def _pods(self, colour: Colour) -> list[dict[str, Any]]:
        return self.kube.items(PODS, ",".join(f"{key}={value}" for key, value in selector(colour).items()))

    def _scale(self, colour: Colour, replicas: int) -> None:
        self.kube.patch(f"{self._path(colour)}/scale", {"spec": {"replicas": replicas}})

    def _floor(self, colour: Colour) -> int:
        """The size that this colour never goes below while it is live, as Pulumi noted it."""
        return int(self._deployment(colour)["metadata"].get("annotations", {}).get(FLOOR, 1))

    def _hold(self, colour: Colour, minimum: int) -> None:
        found = self.kube.get(self._autoscaler(colour))
        if found is None:
            return
        minimum = max(1, min(minimum, int(found["spec"]["maxReplicas"])))
        self.kube.patch(self._autoscaler(colour), {"spec": {"minReplicas": minimum}})

    def _hopeless(self, colour: Colour) -> str:
        wanted = _container(self._deployment(colour))["image"]
        for pod in self._pods(colour):
            if "deletionTimestamp" in pod["metadata"] or pod["spec"]["containers"][0]["image"] != wanted:
                continue
            for status in _statuses(pod):
                waiting = status.get("state", {}).get("waiting") or {}
                if waiting.get("reason") in HOPELESS:
                    why = _last_words(status) or waiting.get("message", "")
                    return f"pod {pod['metadata']['name']}: {waiting['reason']} {why}".strip()
        return ""


@dataclass(frozen=True, slots=True)
class JobMigration:
    """A migration that runs as a Job; the same image finds the one that runs again after a crash."""

    kube: Kube
    title: str

    @property
    def path(self) -> str:
        return f"{JOBS}/{self.title}"

    def poll(self) -> str | None:
        found = self.kube.get(self.path)
        if found is None:
            return "the migration Job disappeared"
        outcome = _outcome(found)
        if outcome == "Complete":
            return ""
        return self._why(found) if outcome == "Failed" else None

    def _why(self, found: dict[str, Any]) -> str:
        """The last line of the pod; the Job itself knows only that it failed."""
        for pod in self.kube.items(PODS, f"job-name={self.title}"):
            for status in _statuses(pod):
                if words := _last_words(status):
                    return words
        (condition,) = (one for one in found["status"]["conditions"] if one["type"] == "Failed")
        return condition.get("message") or condition.get("reason") or "the migration Job failed"


def _outcome(found: dict[str, Any]) -> str:
    """`Complete`, `Failed`, or empty while a Job runs."""
    for condition in found.get("status", {}).get("conditions", []):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return str(condition["type"])
    return ""


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Of all containers, those first that start first: what stops one keeps the others from starting."""
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _last_words(status: dict[str, Any]) -> str:
    """The last line that a container wrote before it ended (`terminationMessagePolicy`)."""
    for key in ("state", "lastState"):
        lines = ((status.get(key) or {}).get("terminated") or {}).get("message", "").strip().splitlines()
        if lines:
            return str(lines[-1])
    return ""


def job(title: str, image: str, deployment: dict[str, Any]) -> dict[str, Any]:
    """A Job with the Deployment's environment and volumes that runs `migrate` of `image` as the owner."""
    pod = deployment["spec"]["template"]["spec"]
    first = [
        {**one, "env": [*one.get("env", []), {"name": AS_OWNER, "value": "yes"}]}
        for one in pod.get("initContainers", [])
        if one.get("restartPolicy") != "Always"  # what goes on beside a service has nothing to do here
    ]
    kept = {key: value for key, value in _container(deployment).items() if key not in _SERVING}
    # What it wrote last is then in the pod's status, which outlives its log.
    last_words = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    owner = {"name": "SUPERAGENT_DATABASE_OWNER_URL_FILE", "value": f"{SECRETS}/{OWNER_URL}"}
    container = {
        **kept,
        **last_words,
        "image": image,
        "args": ["migrate", "--json"],
        "env": [*kept.get("env", []), owner],
    }
    labels = {"app.kubernetes.io/name": "superagent-migrate"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": title, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 600,
            "ttlSecondsAfterFinished": 86_400,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    **{key: value for key, value in pod.items() if key in _IDENTITY},
                    "serviceAccountName": MIGRATE_ACCOUNT,
                    "initContainers": first,
                    "restartPolicy": "Never",
                    "containers": [container],
                },
            },
        },
    }


_SERVING: Final = frozenset({"livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "ports"})
_IDENTITY: Final = frozenset(
    {
        "automountServiceAccountToken",
        "enableServiceLinks",
        "securityContext",
        "volumes",
        "imagePullSecrets",
        "nodeSelector",
    }
)


def _container(deployment: dict[str, Any]) -> dict[str, Any]:
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        if container["name"] == CONTAINER:
            found: dict[str, Any] = container
            return found
    raise KeyError(CONTAINER)
