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
from infra.release.kube import Kube
from infra.stack.outputs import COLOURS, Colour

NAMESPACE: Final = "superagent"
CONTAINER: Final = "service"
FLOOR: Final = "superagent/min-replicas"
"""Annotation of the autoscaler with the minimum of the live colour."""
HOPELESS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff"})
"""Waiting reasons of a container that does not mend by itself."""


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
        return "" if value.endswith("/none") or value == "none" else value

    def set_image(self, colour: Colour, image: str) -> None:
        version = {"name": "SUPERAGENT_VERSION", "value": image.rpartition(":")[2]}
        container = {"name": CONTAINER, "image": image, "env": [version]}
        self.kube.patch(self._path(colour), {"spec": {"template": {"spec": {"containers": [container]}}}})
        self.images.write(colour, image)

    def find_image(self, image: str) -> str | None:
        return find_in_ecr(self.ecr, image)

    def scale_up(self, colour: Colour, like: Colour) -> None:
        theirs = int(self._deployment(like)["spec"].get("replicas", 1))
        wanted = max(theirs, self._floor(colour), 1)
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
        return int(self._deployment(colour)["spec"].get("replicas", 1)) == 0 and not self._pods(colour)

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
        name = f"superagent-migrate-{hashlib.sha256(image.encode()).hexdigest()[:10]}"
        path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
        if self.kube.get(f"{path}/{name}") is None:
            self.kube.create(path, job(name, image, self._deployment(colour)))
        return JobMigration(self.kube, f"{path}/{name}")

    def _path(self, colour: Colour) -> str:
        return f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/superagent-{colour}"

    def _autoscaler(self, colour: Colour) -> str:
        return f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/superagent-{colour}"

    def _deployment(self, colour: Colour) -> dict[str, Any]:
        return self.kube.need(self._path(colour), "Run `pulumi up`.")

    def _pods(self, colour: Colour) -> list[dict[str, Any]]:
        selector = f"app.kubernetes.io/name=superagent,superagent/colour={colour}"
        return self.kube.items(f"/api/v1/namespaces/{NAMESPACE}/pods", selector)

    def _scale(self, colour: Colour, replicas: int) -> None:
        self.kube.patch(f"{self._path(colour)}/scale", {"spec": {"replicas": replicas}})

    def _floor(self, colour: Colour) -> int:
        found = self.kube.get(self._autoscaler(colour))
        if found is None:
            return 1
        value = found["metadata"].get("annotations", {}).get(FLOOR)
        return int(value) if value else int(found["spec"].get("minReplicas", 1))

    def _hold(self, colour: Colour, minimum: int) -> None:
        found = self.kube.get(self._autoscaler(colour))
        if found is None or minimum < 1:
            return
        minimum = min(minimum, int(found["spec"]["maxReplicas"]))
        floor = {FLOOR: str(self._floor(colour))}
        patch = {"metadata": {"annotations": floor}, "spec": {"minReplicas": minimum}}
        self.kube.patch(self._autoscaler(colour), patch)

    def _hopeless(self, colour: Colour) -> str:
        for pod in self._pods(colour):
            for status in pod.get("status", {}).get("containerStatuses", []):
                waiting = status.get("state", {}).get("waiting") or {}
                if waiting.get("reason") in HOPELESS:
                    message = waiting.get("message", "")
                    return f"pod {pod['metadata']['name']}: {waiting['reason']} {message}".strip()
        return ""


@dataclass(frozen=True, slots=True)
class JobMigration:
    """A migration that runs as a Job; the same image finds its own Job again after a crash."""

    kube: Kube
    path: str

    def poll(self) -> str | None:
        found = self.kube.get(self.path)
        if found is None:
            return "the migration Job disappeared"
        for condition in found.get("status", {}).get("conditions", []):
            if condition["status"] == "True" and condition["type"] == "Complete":
                return ""
            if condition["status"] == "True" and condition["type"] == "Failed":
                return condition.get("message") or "the migration Job failed"
        return None


def job(name: str, image: str, deployment: dict[str, Any]) -> dict[str, Any]:
    """A Job with the Deployment's environment, identity and volumes that runs `migrate` of `image`."""
    pod = deployment["spec"]["template"]["spec"]
    kept = {key: value for key, value in _container(deployment).items() if key not in _SERVING}
    container = {**kept, "image": image, "args": ["migrate", "--json"]}
    labels = {"app.kubernetes.io/name": "superagent-migrate"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 600,
            "ttlSecondsAfterFinished": 86_400,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    **{key: value for key, value in pod.items() if key in _IDENTITY},
                    "restartPolicy": "Never",
                    "containers": [container],
                },
            },
        },
    }


_SERVING: Final = frozenset({"livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "ports"})
_IDENTITY: Final = frozenset(
    {"serviceAccountName", "securityContext", "initContainers", "volumes", "imagePullSecrets", "nodeSelector"}
)


def _container(deployment: dict[str, Any]) -> dict[str, Any]:
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        if container["name"] == CONTAINER:
            found: dict[str, Any] = container
            return found
    raise KeyError(CONTAINER)
