"""A small strict Kubernetes API: the paths, verbs and shapes of its reference that a release uses, no more.

An unknown path, verb, content type or field is answered as the API server does (404, 405, 415, 422) and
remembered, so that a test fails. A controller loop moves status towards spec a little with every request.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

DEPLOYMENT = re.compile(
    r"/apis/apps/v1/namespaces/superagent/deployments/(superagent-(?:blue|green))(/scale)?"
)
AUTOSCALER = re.compile(
    r"/apis/autoscaling/v2/namespaces/superagent/horizontalpodautoscalers/(superagent-(?:blue|green))"
)
JOBS = re.compile(r"/apis/batch/v1/namespaces/superagent/jobs(?:/([a-z0-9-]+))?")
PODS = "/api/v1/namespaces/superagent/pods"
SELECTOR = re.compile(r"app\.kubernetes\.io/name=superagent,superagent/colour=(blue|green)")
MERGES = {
    "deployment": "application/strategic-merge-patch+json",
    "scale": "application/merge-patch+json",
    "autoscaler": "application/merge-patch+json",
}


def deployment(colour: str, replicas: int, image: str) -> dict[str, Any]:
    """As `kubectl get deployment -o json` shows one, without what nobody reads."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"superagent-{colour}", "namespace": "superagent", "generation": 1},
        "spec": {
            "replicas": replicas,
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "superagent", "superagent/colour": colour}},
                "spec": {
                    "serviceAccountName": "superagent",
                    "initContainers": [{"name": "secrets", "image": "aws-cli"}],
                    "volumes": [{"name": "secrets", "emptyDir": {"medium": "Memory"}}],
                    "containers": [
                        {
                            "name": "service",
                            "image": image,
                            "env": [
                                {"name": "SUPERAGENT_VERSION", "value": image.rpartition(":")[2]},
                                {"name": "SUPERAGENT_PORT", "value": "8000"},
                            ],
                            "ports": [{"containerPort": 8000}],
                            "readinessProbe": {"httpGet": {"path": "/health/ready", "port": 8000}},
                        }
                    ],
                },
            },
        },
        "status": {},
    }


def autoscaler(colour: str, minimum: int) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"superagent-{colour}", "namespace": "superagent"},
        "spec": {"minReplicas": minimum, "maxReplicas": 10},
    }


@dataclass
class Cluster:
    """What the API server has stored, and faults to inject."""

    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    autoscalers: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"blue": [], "green": []})
    bad_images: set[str] = field(default_factory=set)
    job_fails: str = ""
    faults: list[int] = field(default_factory=list)
    """Statuses for the next requests instead of an answer."""
    violations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tick(self) -> None:
        """One turn of the controllers."""
        for name, found in self.deployments.items():
            colour, pods = name.removeprefix("superagent-"), self.pods[name.removeprefix("superagent-")]
            image = found["spec"]["template"]["spec"]["containers"][0]["image"]
            wanted = found["spec"]["replicas"]
            for pod in pods:
                if pod["spec"]["containers"][0]["image"] not in self.bad_images:
                    pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            if len(pods) < wanted:
                pods.append(self._pod(colour, len(pods), image))
            elif len(pods) > wanted:
                pods.pop()
            ready = sum(pod["status"].get("phase") == "Running" for pod in pods)
            found["status"] = {
                "observedGeneration": found["metadata"]["generation"],
                "replicas": len(pods),
                "updatedReplicas": len(pods),
                "availableReplicas": ready,
            }
        for job in self.jobs.values():
            kind = "Failed" if self.job_fails else "Complete"
            job["status"] = {"conditions": [{"type": kind, "status": "True", "message": self.job_fails}]}

    def _pod(self, colour: str, number: int, image: str) -> dict[str, Any]:
        status: dict[str, Any] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}
        if image in self.bad_images:
            waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
            status["containerStatuses"] = [{"name": "service", "state": {"waiting": waiting}}]
        return {
            "metadata": {"name": f"superagent-{colour}-{number}", "namespace": "superagent"},
            "spec": {"containers": [{"name": "service", "image": image}]},
            "status": status,
        }

    def answer(self, method: str, target: str, content_type: str, body: Any) -> tuple[int, Any]:
        """Route one request."""
        with self.lock:
            if self.faults:
                return self.faults.pop(0), {"message": "injected"}
            self.tick()
            parts = urlsplit(target)
            if match := DEPLOYMENT.fullmatch(parts.path):
                return self._deployment(match[1], bool(match[2]), method, content_type, body)
            if match := AUTOSCALER.fullmatch(parts.path):
                return self._autoscaler(match[1], method, content_type, body)
            if match := JOBS.fullmatch(parts.path):
                return self._job(match[1], method, body)
            if parts.path == PODS and method == "GET":
                selector = SELECTOR.fullmatch(parse_qs(parts.query).get("labelSelector", [""])[0])
                if selector:
                    return 200, {"kind": "PodList", "items": self.pods[selector[1]]}
            return self._violation(404, f"{method} {target}")

    def _deployment(self, name: str, scale: bool, method: str, kind: str, body: Any) -> tuple[int, Any]:
        if name not in self.deployments:
            return 404, {"message": f'deployments.apps "{name}" not found'}
        found = self.deployments[name]
        if method == "GET" and not scale:
            return 200, found
        if method != "PATCH":
            return self._violation(405, f"{method} {name}")
        if kind != MERGES["scale" if scale else "deployment"]:
            return self._violation(415, f"PATCH {name} as {kind}")
        if scale:
            if list(body) != ["spec"] or list(body["spec"]) != ["replicas"] or body["spec"]["replicas"] < 0:
                return self._violation(422, json.dumps(body))
            found["spec"]["replicas"] = body["spec"]["replicas"]
        else:
            (change,) = body["spec"]["template"]["spec"]["containers"]
            (container,) = found["spec"]["template"]["spec"]["containers"]
            if change["name"] != container["name"] or set(change) - {"name", "image", "env"}:
                return self._violation(422, json.dumps(change))
            container["image"] = change["image"]
            variables = {one["name"]: one for one in container["env"]}
            variables.update({one["name"]: one for one in change["env"]})
            container["env"] = list(variables.values())
        found["metadata"]["generation"] += 1
        return 200, found

    def _autoscaler(self, name: str, method: str, kind: str, body: Any) -> tuple[int, Any]:
        found = self.autoscalers.get(name)
        if found is None:
            return 404, {"message": "not found"}
        if method == "PATCH":
            if (
                kind != MERGES["autoscaler"]
                or set(body) - {"metadata", "spec"}
                or body["spec"]["minReplicas"] < 1
            ):
                return self._violation(422, json.dumps(body))
            found["spec"].update(body["spec"])
            found["metadata"].setdefault("annotations", {}).update(body["metadata"]["annotations"])
        return 200, found

    def _job(self, name: str | None, method: str, body: Any) -> tuple[int, Any]:
        if method == "GET" and name:
            return (200, self.jobs[name]) if name in self.jobs else (404, {"message": "not found"})
        if method != "POST" or name or body["kind"] != "Job":
            return self._violation(405, f"{method} job {name}")
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, {"message": "already exists"}
        pod = body["spec"]["template"]["spec"]
        if pod["restartPolicy"] not in ("Never", "OnFailure") or len(name) > 63:
            return self._violation(422, json.dumps(body))
        self.jobs[name] = {**body, "status": {}}
        return 201, self.jobs[name]

    def _violation(self, status: int, what: str) -> tuple[int, Any]:
        self.violations.append(f"{status} {what}")
        return status, {"message": what}


@contextmanager
def serve(cluster: Cluster) -> Iterator[str]:
    """The cluster's API on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "")
            status, answer = cluster.answer(self.command, self.path, kind, json.loads(body) if body else None)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = do

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
