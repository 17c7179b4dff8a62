"""What the cluster's controllers do, a turn at a time: Deployments, pods, targets, autoscalers, Jobs.

Statuses have the fields, reasons and messages of real API servers, zero counts left out
(`omitempty`); pulumi/pulumi-kubernetes publishes recordings of them (provider/pkg/await).
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.infra.release.kube.statuses import NOW, condition, container_status, pod_conditions

GATE = "target-health.elbv2.k8s.aws/{}"
"""Readiness gate that the load-balancer controller puts into the pods of a TargetGroupBinding's service."""
DEADLINE_TURNS = 40
"""Turns for which a Deployment may stand still before `progressDeadlineSeconds` have passed."""


class TargetGroups(Protocol):
    """The load balancer: what the TargetGroupBindings register pods in."""

    def register(self, colour: str, address: str) -> None: ...
    def deregister(self, colour: str, address: str) -> None: ...
    def healthy(self, colour: str, address: str) -> bool: ...


@dataclass
class Store:
    """Every object by kind and name, and what the tests do to the cluster."""

    objects: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {"Deployment": {}, "HorizontalPodAutoscaler": {}, "Job": {}, "Pod": {}}
    )
    targets: TargetGroups | None = None
    bad_images: set[str] = field(default_factory=set)
    """Images that no node can pull."""
    crashing_images: dict[str, str] = field(default_factory=dict)
    """Images whose container ends at once, with its last line."""
    fetch_fails: str = ""
    """The last line of the first init container, which fails."""
    stuck_images: set[str] = field(default_factory=set)
    """Images whose pods run and never become ready."""
    job_fails: str = ""
    """The last line of a migration that fails."""
    job_goes_on: bool = False
    """Migrations do not end."""
    quiet: bool = False
    """There is so little load that the autoscalers shrink what they may."""
    drain_turns: int = 4
    """Turns in which a pod that was told to leave still answers what it has begun."""
    version: int = 1_000
    seen: dict[str, int] = field(default_factory=dict)
    still: dict[str, int] = field(default_factory=dict)
    leaving: dict[str, int] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        return self.objects[kind]

    def touch(self, found: dict[str, Any]) -> None:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)


def turn(store: Store) -> None:
    """Each controller looks once at what it is responsible for."""
    for found in store.of("HorizontalPodAutoscaler").values():
        _autoscale(store, found)
    for name, found in store.of("Deployment").items():
        generation = found["metadata"]["generation"]
        if store.seen.get(name) != generation:
            store.seen[name] = generation  # the watch delivers it; the controller acts on its next turn
            continue
        _roll(store, found)
    for pod in list(store.of("Pod").values()):
        _run(store, pod)
    for job in store.of("Job").values():
        _work(store, job)


def _autoscale(store: Store, found: dict[str, Any]) -> None:
    target = store.of("Deployment")[found["spec"]["scaleTargetRef"]["name"]]
    replicas, least = target["spec"]["replicas"], found["spec"]["minReplicas"]
    if replicas and (replicas < least or (store.quiet and replicas > least)):
        target["spec"]["replicas"] = least
        target["metadata"]["generation"] += 1
        store.touch(target)


def _pods(store: Store, deployment: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = deployment["spec"]["selector"]["matchLabels"].items()
    return [one for one in store.of("Pod").values() if wanted <= one["metadata"]["labels"].items()]


def _roll(store: Store, found: dict[str, Any]) -> None:
    revision = _hash(found["spec"]["template"])
    pods = [one for one in _pods(store, found) if "deletionTimestamp" not in one["metadata"]]
    current = [one for one in pods if one["metadata"]["labels"]["pod-template-hash"] == revision]
    old = [one for one in pods if one not in current]
    wanted = found["spec"]["replicas"]
    if len(current) < wanted and len(pods) <= wanted:  # one more than wanted at most: maxSurge
        _add(store, found, revision)
    elif len(current) > wanted:
        _leave(current[-1])
    elif old and (wanted == 0 or all(map(_ready, current))):
        _leave(old[0])
    _describe(store, found, revision)


def _describe(store: Store, found: dict[str, Any], revision: str) -> None:
    pods = [one for one in _pods(store, found) if "deletionTimestamp" not in one["metadata"]]
    updated = [one for one in pods if one["metadata"]["labels"]["pod-template-hash"] == revision]
    ready, wanted, name = sum(map(_ready, pods)), found["spec"]["replicas"], found["metadata"]["name"]
    counts = {
        "replicas": len(pods),
        "updatedReplicas": len(updated),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
    }
    status = {"observedGeneration": found["metadata"]["generation"]}
    status |= {key: count for key, count in counts.items() if count}
    complete = len(updated) == len(pods) == wanted == ready
    before = {key: value for key, value in found["status"].items() if key != "conditions"}
    store.still[name] = store.still.get(name, 0) + 1 if before == status else 0
    rs = f'ReplicaSet "{name}-{revision}"'
    progress = ("True", "ReplicaSetUpdated", f"{rs} is progressing.")
    if complete:
        progress = ("True", "NewReplicaSetAvailable", f"{rs} has successfully progressed.")
    elif store.still[name] >= DEADLINE_TURNS:
        progress = ("False", "ProgressDeadlineExceeded", f"{rs} has timed out progressing.")
    least = wanted - (0 if found["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0 else 1)
    available = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    if ready < least:
        words = "Deployment does not have minimum availability."
        available = ("False", "MinimumReplicasUnavailable", words)
    status["conditions"] = [  # type: ignore[assignment]
        condition(kind, *words, lastUpdateTime=NOW)
        for kind, words in (("Available", available), ("Progressing", progress))
    ]
    if found["status"] != status:
        found["status"] = status
        store.touch(found)


def _add(store: Store, owner: dict[str, Any], revision: str) -> None:
    template, colour = owner["spec"]["template"], owner["metadata"]["labels"]["superagent/colour"]
    store.version += 1
    name = f"{owner['metadata']['name']}-{revision}-{store.version:05d}"
    spec = {**copy.deepcopy(template["spec"]), "nodeName": "ip-10-0-0-9.eu-central-1.compute.internal"}
    if store.targets is not None:
        spec["readinessGates"] = [{"conditionType": GATE.format(f"superagent-{colour}")}]
    labels = {**template["metadata"]["labels"], "pod-template-hash": revision}
    _create_pod(store, name, labels, spec)


def _create_pod(store: Store, name: str, labels: dict[str, str], spec: dict[str, Any]) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "superagent", "labels": labels, "creationTimestamp": NOW},
        "spec": spec,
        "status": {"phase": "Pending", "qosClass": "Burstable", "conditions": pod_conditions(False, False)},
    }
    store.touch(pod)
    store.of("Pod")[name] = pod


def _run(store: Store, pod: dict[str, Any]) -> None:
    """Kubelet and load-balancer controller: pull, start, register, become ready; drain and leave."""
    metadata, status = pod["metadata"], pod["status"]
    colour = metadata["labels"].get("superagent/colour", "")
    if "deletionTimestamp" in metadata:
        turns = store.leaving[metadata["name"]] = store.leaving.get(metadata["name"], 0) + 1
        if turns == 1 and store.targets is not None and "podIP" in status:
            store.targets.deregister(colour, status["podIP"])
        if turns > store.drain_turns:
            del store.of("Pod")[metadata["name"]]
        return
    if "job-name" in metadata["labels"] or (status["phase"] == "Running" and _ready(pod)):
        return
    container = pod["spec"]["containers"][0]
    if store.fetch_fails:
        return _not_begun(store, pod, {"waiting": {"reason": "CrashLoopBackOff"}})
    state, last, running = _container_state(store, pod, container)
    gated = True
    if running and status["phase"] == "Running" and store.targets is not None:
        store.targets.register(colour, status["podIP"])
        gated = store.targets.healthy(colour, status["podIP"])
    started = running and status["phase"] == "Running"
    status["phase"] = "Pending" if "waiting" in state and not last else "Running"
    status.setdefault("podIP", f"10.0.0.{20 + store.version % 200}")
    status["podIPs"] = [{"ip": status["podIP"]}]
    status["conditions"] = pod_conditions(started, started and gated)
    status["containerStatuses"] = [container_status(container, state, last, started)]
    store.touch(pod)


def _not_begun(store: Store, pod: dict[str, Any], state: dict[str, Any]) -> None:
    """The first init container failed: nothing after it starts."""
    first, ended = pod["spec"]["initContainers"][0], {"exitCode": 254, "reason": "Error"}
    if first.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        ended["message"] = f"fetching\n{store.fetch_fails}\n"
    own = container_status(first, state or {"terminated": ended}, {"terminated": ended}, False)
    begins = {"waiting": {"reason": "PodInitializing"}}
    other = container_status(pod["spec"]["containers"][0], begins, {}, False)
    pod["status"] |= {"initContainerStatuses": [own], "containerStatuses": [other]}
    store.touch(pod)


def _container_state(
    store: Store, pod: dict[str, Any], container: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """State, last state, and whether its readiness probe may succeed."""
    image = container["image"]
    if image in store.bad_images:
        again = pod["status"].get("containerStatuses")
        reason = "ImagePullBackOff" if again else "ErrImagePull"
        return {"waiting": {"reason": reason, "message": f'Back-off pulling image "{image}"'}}, {}, False
    if image in store.crashing_images:
        policy = container.get("terminationMessagePolicy", "File")
        words = store.crashing_images[image] + "\n" if policy == "FallbackToLogsOnError" else ""
        ended = {"exitCode": 1, "reason": "Error", "startedAt": NOW, "finishedAt": NOW}
        if words:
            ended["message"] = words
        name = f"{container['name']} pod={pod['metadata']['name']}_superagent(uid)"
        message = f"back-off 10s restarting failed container={name}"
        return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}, {"terminated": ended}, False
    return {"running": {"startedAt": NOW}}, {}, image not in store.stuck_images


def _work(store: Store, job: dict[str, Any]) -> None:
    """A Job's pod starts in one turn and ends in the next."""
    status, name = job["status"], job["metadata"]["name"]
    if "conditions" in status:
        return
    if not status:
        job["status"] = {"active": 1, "startTime": NOW, "ready": 0, "terminating": 0}
        template = job["spec"]["template"]
        labels = {**template["metadata"]["labels"], "job-name": name, "batch.kubernetes.io/job-name": name}
        _create_pod(store, f"{name}-{store.version}", labels, copy.deepcopy(template["spec"]))
    elif not store.job_goes_on:
        _end(store, job)
    store.touch(job)


def _end(store: Store, job: dict[str, Any]) -> None:
    name, failed = job["metadata"]["name"], bool(store.job_fails or store.fetch_fails)
    (pod,) = (one for one in store.of("Pod").values() if one["metadata"]["labels"].get("job-name") == name)
    container = pod["spec"]["containers"][0]
    ended: dict[str, Any] = {"exitCode": int(failed), "reason": "Error" if failed else "Completed"}
    ended |= {"startedAt": NOW, "finishedAt": NOW}
    if failed and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        ended["message"] = f"applying 0007\n{store.job_fails}\n"
    pod["status"]["phase"] = "Failed" if failed else "Succeeded"
    pod["status"]["containerStatuses"] = [container_status(container, {"terminated": ended}, {}, False)]
    if store.fetch_fails:
        _not_begun(store, pod, {})
    if failed:
        words = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        kinds, counts = ("FailureTarget", "Failed"), {"failed": 1}
    else:
        words = ("CompletionsReached", "Reached expected number of succeeded pods")
        kinds, counts = ("SuccessCriteriaMet", "Complete"), {"succeeded": 1}
    conditions = [condition(kind, "True", *words, lastProbeTime=NOW) for kind in kinds]
    job["status"] = {"startTime": NOW, "conditions": conditions, "ready": 0, "terminating": 0, **counts}


def _ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])


def _leave(pod: dict[str, Any]) -> None:
    pod["metadata"]["deletionTimestamp"] = NOW
    pod["metadata"]["deletionGracePeriodSeconds"] = pod["spec"]["terminationGracePeriodSeconds"]


def _hash(template: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
