"""Switch one pointer, then let the service reconnect: drained, one process at a time; the old database stays.

Every step can be repeated: a run that died is finished by the same command. The journal says what was meant.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from infra import console
from infra.errors import OperationFailed, UserError
from infra.home import CHECKOUT, home
from infra.local import health, slots, state, supervision, traffic
from infra.local.layout import layout, write
from infra.local.slots import Slot
from infra.recovery import server
from infra.recovery.context import Context, secret_path
from infra.recovery.database import Address
from infra.stack.outputs import COLOURS, Colour
from infra.stack.pointer import LOCAL, Pointer

READY_SECONDS: Final = 90.0


@dataclass(slots=True)
class Switched:
    """What a cutover did."""

    pointer: str
    """`INSTANCE/DATABASE` in use now."""
    before: str | None
    """The one that was in use; it stays, locally read-only for new sessions."""
    restarted: list[str] = field(default_factory=list)
    seconds: float = 0.0


def journal_path() -> Path:
    return home() / "recovery" / "cutover.json"


def unfinished() -> dict[str, Any] | None:
    """The cutover that began and did not end, if any."""
    try:
        found: dict[str, Any] = json.loads(journal_path().read_text())
    except FileNotFoundError:
        return None
    return found


def unfinished_target() -> Pointer | None:
    """Where the cutover that did not end was going."""
    known = unfinished()
    return Pointer.parse(known["to"]) if known else None


def pointer(place: Context) -> Pointer | None:
    """The database in use, as the parameter says."""
    ssm = place.client("ssm")
    try:
        value: str = ssm.get_parameter(Name=place.env.outputs.database_pointer)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None
    return Pointer.parse(value)


def point(place: Context, to: Pointer) -> None:
    """Change the pointer and read it back."""
    place.client("ssm").put_parameter(
        Name=place.env.outputs.database_pointer, Value=str(to), Type="String", Overwrite=True
    )
    if pointer(place) != to:
        raise OperationFailed(f"{place.env.outputs.database_pointer} did not take the value {to}.")


def meant(place: Context, text: str) -> Pointer:
    """What `--switch-to` names: `INSTANCE/DATABASE`, or a database of the instance in use."""
    if place.local:
        return Pointer(LOCAL, text.removeprefix(f"{LOCAL}/"))
    now = pointer(place)
    if now is None and "/" not in text:
        raise UserError("Which RDS instance is in use is not known.", "Write INSTANCE/DATABASE.")
    return now.to(text) if now else Pointer.parse(text)


def switch(place: Context, to: Pointer) -> Switched:
    """Make `to` the database in use and, locally, restart what uses it."""
    started = time.monotonic()
    if not place.local:
        before = pointer(place)
        require(place, to)
        point(place, to)
        old = str(before) if before else None
        return Switched(str(to), old, seconds=round(time.monotonic() - started, 3))
    known = unfinished()
    was = pointer(place)
    before = Pointer.parse(known["before"]) if known and known["to"] == str(to) and known["before"] else was
    admin, name = server.administrator(place), to.database
    require(place, to)
    journal_path().parent.mkdir(exist_ok=True)
    # Who was serving is asked once: a run that died may have left a process stopped and out of the balancer.
    serving = {**_serving(place), **(known["serving"] if known else {})}
    plan = {
        "to": str(to),
        "before": str(before or ""),
        "at": datetime.now(UTC).isoformat(),
        "serving": serving,
    }
    write(journal_path(), json.dumps(plan))
    _writable(admin, name, True)
    point(place, to)
    _write_url(name)
    _migrate()
    result = Switched(str(to), str(before) if before else None)
    for colour in COLOURS:
        for slot in slots.slots(colour):
            if slot.name not in serving:
                continue
            with console.step(f"Reconnect {slot.name}"):
                _restart(place, colour, slot, registered=serving[slot.name])
            result.restarted.append(slot.name)
    if before and before != to:
        _writable(admin, before.database, False)
    journal_path().unlink()
    result.seconds = round(time.monotonic() - started, 3)
    return result


def require(place: Context, to: Pointer) -> None:
    """Raises `UserError` unless the instance is there and, locally, the database.

    Whether an instance of RDS holds the database is seen by the release that follows.
    """
    if not place.local:
        from infra.recovery import rds

        rds.describe(place.client("rds"), to.instance)
        return
    with server.administrator(place).connect() as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", (to.database,)).fetchone()
    if not found:
        raise UserError(f"There is no database {to.database}.", "Restore it first with `superagent restore`.")


def _writable(admin: Address, name: str, yes: bool) -> None:
    """Protect the database that is left from late writers, or undo it for the one that is taken."""
    with admin.connect() as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
            return  # it was lost with its cluster
        change = sql.SQL(
            "reset default_transaction_read_only" if yes else "set default_transaction_read_only = on"
        )
        connection.execute(sql.SQL("alter database {} ").format(sql.Identifier(name)) + change)


def _write_url(name: str) -> None:
    """The service's URL and the owner's name the same database."""
    for secret in ("database_owner_url", "database_url"):
        path = secret_path(secret)
        if not path.exists():
            continue  # from before the service had a user of its own
        before = path.read_text().strip()
        url = Address.parse(before).database(name).url()
        if before != url:
            write(path, url, 0o600)


def _migrate() -> None:
    """A backup may be older than the service: bring its schema up before anybody uses it."""
    command, environment = slots.migrate_command()
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OperationFailed(f"Migrating the restored database failed: {last}")


def _serving(place: Context) -> dict[str, bool]:
    """Slots that live, and whether the load balancer knows each."""
    return {
        slot.name: _target_state(place, colour, slot) is not None
        for colour in COLOURS
        for slot in _living(colour)
    }


def _living(colour: Colour) -> list[Slot]:
    alive = set(slots.living(colour))
    return [slot for slot in slots.slots(colour) if slot.name in alive]


def _restart(place: Context, colour: Colour, slot: Slot, registered: bool) -> None:
    """Out of the load balancer, drained, started again, healthy, back in."""
    others = [one for one in _living(colour) if one.name != slot.name]
    if registered and others:
        traffic.register(place.env, colour, others)
        _until(lambda: _target_state(place, colour, slot) in (None, "unused"), f"{slot.name} leaves")
    supervision.stop_all([slot.name], seconds=slots.STOP_SECONDS + 10)
    supervision.start_all([slot.name])
    here = layout()
    ports = state.load(here).ports
    _until(lambda: not health.problem(slot.name, here, ports), f"{slot.name} is ready")
    if registered:
        traffic.register(place.env, colour, [*others, slot])
        _until(lambda: _target_state(place, colour, slot) in ("healthy", "unused"), f"{slot.name} is healthy")


def _target_state(place: Context, colour: Colour, slot: Slot) -> str | None:
    arn = place.env.outputs.target_group_arns[colour]
    answer = place.client("elbv2").describe_target_health(TargetGroupArn=arn)
    for one in answer["TargetHealthDescriptions"]:
        if (one["Target"]["Id"], one["Target"]["Port"]) == (slot.host, slot.port):
            found: str = one["TargetHealth"]["State"]
            return found
    return None


def _until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise OperationFailed(f"{what}: not within {READY_SECONDS:.0f} s.")
        time.sleep(0.1)


def as_dict(result: Switched) -> dict[str, Any]:
    return asdict(result)
