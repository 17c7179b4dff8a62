"""Run the real Pulumi program without an engine, under Pulumi's own test monitor.

The caller decides what each registered resource becomes (`Answer`): recorded only (preview), or made
in an emulated AWS (the local system). It is no engine: no state, no diff. One run a process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import runpy
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack, wait_for_rpcs
from pulumi.runtime.sync_await import _sync_await

from infra.home import CHECKOUT
from infra.stack.naming import PROJECT, STACK_TYPE


@dataclass(frozen=True, slots=True)
class Registration:
    """One resource as the program registered it, options included (the plain mocks hide those)."""

    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    inputs: dict[str, Any]
    """Secrets unwrapped; `secrets` tells where they were."""
    secrets: tuple[str, ...] = ()
    """Paths of secret inputs, such as `/authToken`."""
    protect: bool = False
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    retain_on_delete: bool = False
    delete_before_replace: bool = False
    aliases: tuple[str, ...] = ()
    provider: str = ""
    dependencies: tuple[str, ...] = ()


Answer = Callable[[Registration], tuple[str, dict[str, Any]]]
"""Physical id and outputs of a resource; called on worker threads, several at a time."""
Call = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Answer of an invoke (token, arguments)."""


@dataclass(slots=True)
class Run:
    """What one run of the program did."""

    resources: list[Registration] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: tuple[str, ...] = ()


class _Silent(mocks.Mocks):
    """The monitor below answers everything itself."""

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise NotImplementedError(args.token)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise NotImplementedError(args.typ)


class _Monitor(mocks.MockMonitor):
    """Pulumi's test monitor, with whole requests, true URNs and the stack's outputs."""

    def __init__(self, answer: Answer, call: Call) -> None:
        super().__init__(_Silent())
        self.answer, self.call = answer, call
        self.run = Run()
        self.lock = threading.Lock()
        self.failure: Exception | None = None

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """As the engine builds it: the whole chain of parent types, the stack left out."""
        parents = parent.split("::")[2] if parent else STACK_TYPE
        chain = type_ if parents == STACK_TYPE else f"{parents}${type_}"
        return f"urn:pulumi:{settings.get_stack()}::{settings.get_project()}::{chain}::{name}"

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        response = resource_pb2.RegisterResourceResponse
        if request.type == STACK_TYPE:
            return response(urn=urn)
        _loop_of_this_thread()
        secrets: list[str] = []
        inputs = _unwrap(rpc.deserialize_properties(request.object), "", secrets)
        registration = Registration(
            urn=urn,
            type=request.type,
            name=request.name,
            parent=request.parent,
            custom=request.custom,
            inputs=inputs,
            secrets=tuple(sorted(secrets)),
            protect=request.protect,
            ignore_changes=tuple(request.ignoreChanges),
            replace_on_changes=tuple(request.replaceOnChanges),
            retain_on_delete=request.retainOnDelete,
            delete_before_replace=request.deleteBeforeReplace,
            aliases=tuple(request.aliasURNs) + tuple(_alias(alias) for alias in request.aliases),
            provider=request.provider,
            dependencies=tuple(sorted(request.dependencies)),
        )
        try:
            identity, state = self.answer(registration) if request.custom else ("", inputs)
        except Exception as failed:
            # The SDK reports only the last failure of many; keep the first, it is the cause.
            self.failure = self.failure or failed
            raise
        with self.lock:
            self.run.resources.append(registration)
            self.resources[urn] = self.ResourceRegistration(urn, identity, state)
        return response(urn=urn, id=identity, object=_struct(state))

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if request.urn.split("::")[2] == STACK_TYPE:
            secrets: list[str] = []
            self.run.outputs = _unwrap(rpc.deserialize_properties(request.outputs), "", secrets)
            self.run.secret_outputs = tuple(sorted(secrets))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

    def Invoke(self, request: Any) -> Any:
        _loop_of_this_thread()
        answer = self.call(request.tok, rpc.deserialize_properties(request.args))
        return resource_pb2.ResourceInvokeResponse(**{"return": _struct(answer)})


def _loop_of_this_thread() -> None:
    """Deserialising a reference wants a loop, and worker threads have none."""
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())


def _struct(state: dict[str, Any]) -> Any:
    _loop_of_this_thread()
    return _sync_await(rpc.serialize_properties(state, {}))


def _unwrap(value: Any, path: str, secrets: list[str]) -> Any:
    """The plain value of a secret wrapped by the SDK; its path goes into `secrets`.

    On the wire every number is a double: whole ones become int again, as the program wrote them.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if rpc.is_rpc_secret(value):
        secrets.append(path)
        return _unwrap(rpc.unwrap_rpc_secret(value), path, [])
    if isinstance(value, dict):
        return {key: _unwrap(item, f"{path}/{key}", secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_unwrap(item, f"{path}/{index}", secrets) for index, item in enumerate(value)]
    return value


def _alias(alias: Any) -> str:
    """An alias as text: its URN, or the parts that its spec names."""
    return str(alias.urn or f"{alias.spec.type}::{alias.spec.name}")


def run(
    stack: str,
    config: Mapping[str, str],
    answer: Answer,
    call: Call | None = None,
    program: Path = CHECKOUT / "infra" / "__main__.py",
) -> Run:
    """Run `program` as `stack` with `config` (`superagent:key` → text). Raises what the program raises.

    The garbage collector rests meanwhile: nothing that the SDK's ten thousand classes make is garbage, and
    looking for some takes a third of the run (docs/operations/environments.md, "How long it takes").
    """

    def unanswered(token: str, args: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError(
            f"no offline answer for the invoke {token}({json.dumps(args, default=str)})"
        )

    # The loop must exist before set_mocks: it makes a root stack, which belongs to the loop it finds.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    logging.getLogger("pulumi").setLevel(logging.ERROR)
    monitor = _Monitor(answer, call or unanswered)
    mocks.set_mocks(monitor.mocks, project=PROJECT, stack=stack, preview=False, monitor=monitor)
    # set_mocks has finished its own root; the program needs a living one.
    settings.set_root_resource(None)  # type: ignore[arg-type]
    pulumi.runtime.set_all_config(dict(config), [])
    sys.path.insert(0, str(program.resolve().parents[1]))

    collects = gc.isenabled()
    gc.disable()

    async def whole() -> None:
        await run_in_stack(lambda: (runpy.run_path(str(program), run_name="__main__"), None)[1])
        await wait_for_rpcs()

    try:
        loop.run_until_complete(whole())
    except Exception:
        if monitor.failure is not None:
            raise monitor.failure from None
        raise
    finally:
        sys.path.pop(0)
        loop.close()
        if collects:
            gc.enable()
    monitor.run.resources.sort(key=lambda one: one.urn)
    return monitor.run
