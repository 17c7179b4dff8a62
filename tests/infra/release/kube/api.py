"""A strict Kubernetes API server on loopback, for the requests that a release makes and no others.

It holds the objects that the Pulumi program declares (infra/stack), checks every request against the API's
own schemas (`schemas.py`), merges patches as the real one does, and answers errors as `Status` objects.
What a real server only warns about (an unknown field, an unknown parameter) is remembered as a violation.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.infra.release.kube import controllers, schemas
from tests.infra.release.kube.admission import Refused, check, default, immutable
from tests.infra.release.kube.controllers import Store
from tests.infra.release.kube.statuses import NOW

TOKEN: Final = "token-of-the-test"
RESOURCES: Final = {
    "/apis/apps/v1": ("deployments", "Deployment", {"GET", "PATCH"}),
    "/apis/autoscaling/v2": ("horizontalpodautoscalers", "HorizontalPodAutoscaler", {"GET", "PATCH"}),
    "/apis/batch/v1": ("jobs", "Job", {"GET", "POST", "DELETE"}),
    "/api/v1": ("pods", "Pod", {"GET"}),
}
PATH: Final = re.compile(
    r"(/apis/[a-z]+/v\d|/api/v1)/namespaces/superagent/([a-z]+)(?:/([a-z0-9.-]+))?(/scale)?"
)
MERGES: Final = {
    "application/strategic-merge-patch+json": "strategic",
    "application/merge-patch+json": "json",
}
REASONS: Final = {400: "BadRequest", 401: "Unauthorized", 404: "NotFound", 405: "MethodNotAllowed",
                  409: "AlreadyExists", 415: "UnsupportedMediaType", 422: "Invalid", 429: "TooManyRequests",
                  403: "Forbidden", 500: "InternalError", 503: "ServiceUnavailable"}  # fmt: skip


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class Cluster(Store):
    """The store behind the API, faults to inject, and what a client did wrong."""

    plain: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Path → object, for what no release touches: it can be read as it is."""
    faults: list[int] = field(default_factory=list)
    """Statuses for the next requests instead of an answer."""
    violations: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, api_version: str, kind: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object; the checks, defaults and metadata of the API server apply."""
        found = {"apiVersion": api_version, "kind": kind, **json.loads(json.dumps(manifest))}
        check(kind, found)
        found["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": NOW, "generation": 1}
        found["status"] = {}
        default(kind, found)
        self.touch(found)
        self.of(kind)[found["metadata"]["name"]] = found
        return found

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """One request after the other, a turn of the controllers before each."""
        with self.lock:
            self.requests.append(f"{request.method} {request.path}")
            try:
                if self.faults:
                    raise Refused(self.faults.pop(0), "injected")
                controllers.turn(self)
                return self._route(request)
            except Refused as refused:
                if refused.code in (400, 401, 405, 415, 422):
                    self.violations.append(
                        f"{refused.code} {request.method} {request.path}: {refused.message}"
                    )
                return refused.code, _failure(refused)

    def check_all(self) -> None:
        """Everything that this server says fits the schemas too."""
        for kind, found in self.objects.items():
            for one in found.values():
                assert schemas.problems(kind, one) == []

    def _route(self, request: Request) -> tuple[int, dict[str, Any]]:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "Unauthorized")
        if "application/json" not in request.headers.get("accept", "*/*").replace("*/*", "application/json"):
            raise Refused(415, "only the following media types are accepted: application/json")
        if request.method == "GET" and request.path in self.plain:
            return 200, self.plain[request.path]
        match = PATH.fullmatch(request.path)
        group, plural, kind = (match[1], match[2], "") if match else ("", "", "")
        verbs: set[str] = set()
        if group in RESOURCES and RESOURCES[group][0] == plural:
            _, kind, verbs = RESOURCES[group]
        if match is None or not kind or (match[4] and kind != "Deployment"):
            self.violations.append(f"404 {request.method} {request.path}")
            raise Refused(404, "the server could not find the requested resource")
        here = {"GET", "POST"} if match[3] is None else {"GET", "PATCH", "DELETE"}
        if request.method not in verbs & here:
            raise Refused(405, "the server does not allow this method on the requested resource")
        if strange := set(request.query) - {"labelSelector", "fieldValidation"}:
            raise Refused(400, f"unknown parameter {sorted(strange)[0]}")
        if match[3] is None:
            return self._list(kind, request) if request.method == "GET" else self._create(kind, request)
        found = self.of(kind).get(match[3])
        if found is None:
            raise Refused(404, f'{plural}{_domain(group)} "{match[3]}" not found')
        if request.method == "DELETE":
            return self._delete(kind, found, request)
        if request.method == "PATCH":
            self._patch("Scale" if match[4] else kind, found, request)
        return 200, _scale(found) if match[4] else found

    def _list(self, kind: str, request: Request) -> tuple[int, dict[str, Any]]:
        wanted: set[tuple[str, str]] = set()
        for one in filter(None, request.query.get("labelSelector", [""])[0].split(",")):
            key, sign, value = one.partition("=")
            if not sign or not re.fullmatch(r"([a-z0-9.-]+/)?[A-Za-z0-9_.-]+", key):
                raise Refused(400, f"unable to parse requirement: {one!r}")
            wanted.add((key, value))
        items = [one for one in self.of(kind).values() if wanted <= one["metadata"]["labels"].items()]
        plain = [
            {key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in items
        ]
        listed = {
            "kind": f"{kind}List",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": str(self.version)},
        }
        return 200, {**listed, "items": plain}

    def _create(self, kind: str, request: Request) -> tuple[int, dict[str, Any]]:
        if request.headers.get("content-type") != "application/json":
            raise Refused(415, f"the body is {request.headers.get('content-type')}")
        self._strict(request)
        body = request.body
        if not isinstance(body, dict) or body.get("kind") != kind:
            raise Refused(400, f"the object provided is no {kind}")
        if body["metadata"].get("namespace", "superagent") != "superagent":
            raise Refused(
                400, "the namespace of the provided object does not match the namespace sent on the request"
            )
        name = body["metadata"]["name"]
        if name in self.of(kind):
            raise Refused(409, f'jobs.batch "{name}" already exists')
        manifest = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
        return 201, self.add(body["apiVersion"], kind, manifest)

    def _patch(self, kind: str, found: dict[str, Any], request: Request) -> None:
        how = MERGES.get(request.headers.get("content-type", ""))
        if how is None:
            raise Refused(
                415, f"the body of the request was in an unknown format; accepted: {', '.join(MERGES)}"
            )
        self._strict(request)
        if errors := schemas.partial_problems(kind, request.body):
            raise Refused(400, f"strict decoding error: {errors[0]}")
        before = _scale(found) if kind == "Scale" else found
        try:
            after = (
                schemas.strategic_merge(kind, before, request.body)
                if how == "strategic"
                else schemas.json_merge(before, request.body)
            )
        except (ValueError, KeyError) as wrong:
            raise Refused(400, f"invalid patch: {wrong}") from None
        if kind == "Scale":
            if after["spec"].get("replicas", 0) < 0:
                raise Refused(422, "spec.replicas: Invalid value: must be greater than or equal to 0")
            after = {**found, "spec": {**found["spec"], "replicas": after["spec"].get("replicas", 0)}}
        check(found["kind"], after)
        immutable(found, after)
        changed = after["spec"] != found["spec"]
        found["spec"], found["metadata"] = after["spec"], after["metadata"]
        if changed:
            found["metadata"]["generation"] += 1
            self.touch(found)

    def _delete(self, kind: str, found: dict[str, Any], request: Request) -> tuple[int, dict[str, Any]]:
        if errors := schemas.problems("DeleteOptions", request.body or {}):
            raise Refused(400, f"strict decoding error: {errors[0]}")
        name = found["metadata"]["name"]
        del self.of(kind)[name]
        if (request.body or {}).get("propagationPolicy") == "Background":
            for pod in list(self.of("Pod").values()):
                if pod["metadata"]["labels"].get("job-name") == name:
                    del self.of("Pod")[pod["metadata"]["name"]]
        details = {"name": name, "group": "batch", "kind": "jobs", "uid": found["metadata"]["uid"]}
        return 200, {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }

    def _strict(self, request: Request) -> None:
        # Without it the real server drops an unknown field, with nothing but a header that says so.
        if request.query.get("fieldValidation") != ["Strict"]:
            self.violations.append(f"{request.method} {request.path} without fieldValidation=Strict")


def _scale(found: dict[str, Any]) -> dict[str, Any]:
    labels = found["spec"]["selector"]["matchLabels"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: found["metadata"][key] for key in kept},
        "spec": {"replicas": found["spec"]["replicas"]} if found["spec"]["replicas"] else {},
        "status": {
            "replicas": found["status"].get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def _failure(refused: Refused) -> dict[str, Any]:
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": refused.message, "reason": REASONS[refused.code], "code": refused.code,
    }  # fmt: skip


def _domain(group: str) -> str:
    return "" if group == "/api/v1" else f".{group.split('/')[2]}"


@contextmanager
def serve(cluster: Cluster) -> Iterator[str]:
    """The cluster's API on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = parse_qs(parts.query, keep_blank_values=True)
            request = Request(self.command, parts.path, query, headers, json.loads(body) if body else None)
            status, answer = cluster.answer(request)
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
