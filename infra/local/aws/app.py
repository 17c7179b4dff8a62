"""The WSGI application around moto: one call at a time, durable before it is answered."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.models import Queue

from infra.local.aws.emulator import backend_count, replace
from infra.local.aws.faults import Fault, Faults, error_answer
from infra.local.aws.health import HealthBoard
from infra.local.aws.request import Call, identify, take_body
from infra.local.aws.state import Store
from infra.local.log_line import log, where

Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]
NETWORK_SERVICES = frozenset({"elasticloadbalancing", "ec2", "autoscaling", "cloudformation"})
LONGEST_WAIT_SECONDS = 25.0


class Changes:
    """A token that is another one after every change that load balancers can see; waiting on it is cheap."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._life = uuid.uuid4().hex[:8]  # tokens of an earlier process never match
        self._count = 0

    @property
    def token(self) -> str:
        return f"{self._life}.{self._count}"

    def bump(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, since: str, seconds: float) -> str:
        """The current token, at once if it is not `since`, else when it changes or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self.token != since, timeout=min(seconds, LONGEST_WAIT_SECONDS))
            return self.token


class AwsApp:
    """moto behind one lock.

    moto is not thread-safe, and a conditional write must be decided, applied and stored as one; so calls take
    turns, reads too. A call takes a few milliseconds; waiting (SQS long polls, changes) happens outside.
    """

    def __init__(self, store: Store, board: HealthBoard, faults: Faults | None) -> None:
        self._store = store
        self._board = board
        self._faults = faults
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._backends = backend_count()
        self.changes = Changes()
        _let_sqs_wait_outside(self._lock)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, headers, body = self._answer(environ)
        start_response(status, headers)
        return body

    def _answer(self, environ: dict[str, Any]) -> Answer:
        path = environ.get("PATH_INFO", "")
        if path.startswith("/superagent/") or path == "/moto-api/":
            return self._own(path, environ)
        take_body(environ)
        call = identify(environ)
        fault = self._faults.take(call) if self._faults else None
        if fault:
            time.sleep(fault.delay_seconds)
            if fault.error and fault.when == "before":
                return _failed(call, fault)
        with self._lock:
            answer = self._reset(environ) if path == "/moto-api/reset" else self._perform(call, environ)
        if fault and fault.error:
            return _failed(call, fault)
        return answer

    def _perform(self, call: Call, environ: dict[str, Any]) -> Answer:
        try:
            answer = self._ask_moto(environ)
        except Exception as failed:
            log("call failed inside moto", service=call.service, action=call.action, error=where(failed))
            status, headers, body = error_answer(call, "InternalFailure", type(failed).__name__)
            answer = (status, headers, [body])
        # A read that touches a service or region for the first time creates it (default VPC): store that.
        count = backend_count()
        if call.reads and count == self._backends:
            return answer
        try:
            self._store.save(call.service if count == self._backends else "")
        except Exception as failed:
            self._give_up(failed)
        self._backends = count
        if call.service in NETWORK_SERVICES:
            self.changes.bump()
        return answer

    def _ask_moto(self, environ: dict[str, Any]) -> Answer:
        started: list[Any] = []

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            started[:] = [status, headers]
            return lambda data: None

        produced = self._moto(environ, start)
        try:
            chunks = list(produced)
        finally:
            getattr(produced, "close", lambda: None)()
        return started[0], started[1], chunks

    def _give_up(self, failed: Exception) -> None:
        """Memory is ahead of the disk: end, so that the next start reads the last durable state."""
        log(
            "cannot write the state; ending without an answer",
            error=where(failed),
            folder=str(self._store.data),
        )
        os._exit(1)

    def _reset(self, environ: dict[str, Any]) -> Answer:
        answer = self._ask_moto(environ)
        self._store.clear()
        self._board.clear()
        if self._faults:
            self._faults.clear()
        self._backends = backend_count()
        self.changes.bump()
        return answer

    def _own(self, path: str, environ: dict[str, Any]) -> Answer:
        method = environ["REQUEST_METHOD"]
        if path == "/moto-api/" and method in ("GET", "HEAD"):
            return _json(HTTPStatus.OK, {"status": "ready"})
        if path == "/superagent/changes" and method == "GET":
            query = dict(pair.partition("=")[::2] for pair in environ.get("QUERY_STRING", "").split("&"))
            token = self.changes.wait(query.get("since", ""), LONGEST_WAIT_SECONDS)
            return _json(HTTPStatus.OK, {"token": token})
        takers = {"/superagent/target-health": self._board.report}
        if self._faults:
            takers["/superagent/faults"] = self._faults.order
        if path not in takers:
            return _json(HTTPStatus.NOT_FOUND, {"error": f"there is no {path} (faults need --allow-faults)"})
        if method != "POST":
            return _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "POST it"})
        if not environ.get("REMOTE_ADDR", "").startswith("127."):
            return _json(HTTPStatus.FORBIDDEN, {"error": "from this machine only"})
        take_body(environ)
        try:
            body = json.loads(environ["wsgi.input"].read())
            with self._lock:
                takers[path](body)
        except ValueError as wrong:
            return _json(HTTPStatus.BAD_REQUEST, {"error": str(wrong)})
        return _json(HTTPStatus.OK, {})


def _failed(call: Call, fault: Fault) -> Answer:
    status, headers, body = error_answer(call, fault.error or "", "ordered by a test")
    return status, headers, [body]


def _json(status: HTTPStatus, body: Any) -> Answer:
    data = json.dumps(body).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
    return f"{status.value} {status.phrase}", headers, [data]


def _let_sqs_wait_outside(lock: threading.Lock) -> None:
    """A long poll on an empty queue would hold up the send that ends it."""
    wait = Queue.wait_for_messages

    def wait_unlocked(queue: Queue, timeout: int) -> None:
        lock.release()
        try:
            wait(queue, timeout)
        finally:
            lock.acquire()

    replace(Queue, "wait_for_messages", wait_unlocked)
