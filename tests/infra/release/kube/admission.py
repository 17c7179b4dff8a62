"""What the API server refuses beyond its schemas, and what it writes into objects that leave it out."""

from __future__ import annotations

import re
from typing import Any, Final

from tests.infra.release.kube import schemas

DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def check(kind: str, found: dict[str, Any]) -> None:
    if errors := schemas.problems(kind, found):
        raise Refused(422, errors[0])
    name, spec = found["metadata"]["name"], found["spec"]
    if not DNS_LABEL.fullmatch(name):
        raise Refused(422, f"metadata.name: Invalid value: {name!r}: a lowercase RFC 1123 label")
    if kind == "HorizontalPodAutoscaler":
        if spec["minReplicas"] < 1:
            raise Refused(422, "spec.minReplicas: Invalid value: must be greater than or equal to 1")
        if spec["minReplicas"] > spec["maxReplicas"]:
            raise Refused(
                422, "spec.maxReplicas: Invalid value: must be greater than or equal to `minReplicas`"
            )
        return
    pod = spec["template"]["spec"]
    if kind == "Job" and pod.get("restartPolicy") not in ("Never", "OnFailure"):
        raise Refused(422, 'spec.template.spec.restartPolicy: Required value: "OnFailure", "Never"')
    volumes = {one["name"] for one in pod.get("volumes", [])}
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        if not container.get("image"):
            raise Refused(422, "spec.template.spec.containers[0].image: Required value")
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                raise Refused(422, f"volumeMounts[0].name: Not found: {mount['name']!r}")


def immutable(before: dict[str, Any], after: dict[str, Any]) -> None:
    if before["spec"].get("selector") != after["spec"].get("selector"):
        raise Refused(422, "spec.selector: Invalid value: field is immutable")
    labels = after["spec"].get("template", {}).get("metadata", {}).get("labels", {})
    if not after["spec"].get("selector", {}).get("matchLabels", {}).items() <= labels.items():
        raise Refused(422, "spec.template.metadata.labels: `selector` does not match template `labels`")


def default(kind: str, found: dict[str, Any]) -> None:
    """Some of the defaults that a real server writes in."""
    if kind == "HorizontalPodAutoscaler":
        found["status"] = {"desiredReplicas": 0, "currentMetrics": None}
        return
    if kind == "Deployment":
        found["metadata"]["annotations"] = {
            **found["metadata"].get("annotations", {}), "deployment.kubernetes.io/revision": "1",
        }  # fmt: skip
        found["spec"].setdefault("progressDeadlineSeconds", 600)
    pod = found["spec"]["template"]["spec"]
    for key, value in (("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler")):
        pod.setdefault(key, value)
    pod.setdefault("restartPolicy", "Always")
    pod.setdefault("terminationGracePeriodSeconds", 30)
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
