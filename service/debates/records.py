"""Debates as they lie in Postgres: what a node needs of one, what is read of one, and rows to and from it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from service.auth.permissions import Principal
from service.debates.spec import ENDPOINT, Spec, Status, Step, Steps
from service.storage.usage import UsageRow

T = TypeVar("T")


class Lease(Struct, frozen=True):
    debate: str
    owner: str
    epoch: int


class Claimed(Struct):
    """What a node needs to go on with a debate. `seconds_left` until its deadline, may be negative; `age` in
    seconds since it was created, `began` is when it was claimed (monotonic).
    """

    lease: Lease
    spec: Spec
    principal: Principal
    steps: Steps
    seconds_left: float
    age: float
    began: float = field(default_factory=time.monotonic)


class Record(Struct):
    """A debate as it is read."""

    id: str
    account: str
    status: Status
    spec: Spec
    result: dict[str, Any] | None
    created_at: datetime
    deadline: datetime
    finished_at: datetime | None
    epoch: int
    steps: Steps


def usage_row(
    lease: Lease, step: Step, principal: Principal, asked: str, at: float, outcome: str
) -> UsageRow:
    """The ledger's row of a paid step. Its request id is the step's name, so there can be only one."""
    return UsageRow(
        f"{lease.debate}.{step.id}", at, principal.id, ENDPOINT, asked, step.provider, step.model,
        step.input_tokens, step.output_tokens, 0, step.cost_usd, step.seconds * 1000, None, "", outcome,
        step.attempts, False,
    )  # fmt: skip


def scrub(text: str) -> str:
    """What Postgres cannot hold becomes a question mark."""
    if "\0" in text:
        text = text.replace("\0", "?")
    return text.encode("utf-8", "replace").decode()


def to_json(value: Any) -> str:
    """As jsonb takes it."""
    # An escaped NUL is JSON that jsonb refuses; a backslash that is itself escaped does not begin one.
    raw = msgspec.json.encode(value).decode()
    return raw.replace("\\\\", "\\u005c").replace("\\u0000", "?")


def from_json(raw: str, kind: type[T]) -> T:
    return msgspec.json.decode(raw, type=kind)


def record_of(row: Any, steps: Steps) -> Record:
    return Record(
        row["id"], row["account"], row["status"], from_json(row["spec"], Spec),
        from_json(row["result"], dict) if row["result"] is not None else None,
        row["created_at"], row["deadline"], row["finished_at"], row["epoch"], steps,
    )  # fmt: skip


def step_of(row: Any) -> Step:
    return Step(
        id=row["id"], kind=row["kind"], round=row["round"], participant=row["participant"],
        status=row["status"], provider=row["provider"], model=row["model"], attempts=row["attempts"],
        text=row["text"], input_tokens=row["input_tokens"], output_tokens=row["output_tokens"],
        cost_usd=float(row["cost_usd"]), seconds=row["seconds"], error=row["error"],
        data=from_json(row["data"], dict), at=row["seconds_at"], seq=row["seq"],
    )  # fmt: skip
