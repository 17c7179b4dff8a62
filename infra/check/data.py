"""Rules about data: the database, its backups, the rehearsal of a restore, and secrets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from infra.check.facts import Facts, Missing
from infra.check.verdict import Answer, bad, good, unseen

BACKUP: Final = timedelta(hours=26)
"""Daily, and two hours for a slow one (alert SuperAgentBackupUnverified)."""
DRILL: Final = timedelta(days=8)
"""Weekly, and a day (alert SuperAgentDrillOverdue)."""
SECRET: Final = timedelta(days=90)
KEPT: Final = ("multi_az", "protected", "encrypted", "final_snapshot")
READABLE: Final = "Give credentials that may read the backup bucket and use its key."


def database(facts: Facts) -> Answer:
    """Multi-AZ, encrypted, protected from deletion, and with a last snapshot."""
    if facts.local:
        return good("one Postgres on this machine, as meant")
    if isinstance(facts.program, Missing):
        return unseen(facts.program, "Mend the stack's file.")
    lacking = [name for name in KEPT if not facts.program.database.get(name)]
    if not facts.program.database:
        return bad("the program makes no database", "See infra/stack/database.py.")
    if lacking:
        words = ", ".join(name.replace("_", " ") for name in lacking)
        return bad(f"not {words}", "Remove the keys that switch it off (superagent:protection, multi_az).")
    return good("multi-AZ, encrypted, protected, with a last snapshot")


def backups(facts: Facts) -> Answer:
    """Every kind has a backup of the last day; the database's was read back."""
    if isinstance(facts.backups, Missing):
        return unseen(facts.backups, READABLE)
    for kind, one in facts.backups.items():
        if one.newest is None:
            return bad(f"there is no {kind} backup", _again(facts, "backup create"))
        if facts.now - one.newest > BACKUP:
            return bad(
                f"the newest {kind} backup is {_age(facts.now, one.newest)} old",
                _again(facts, "backup create"),
            )
        if one.verified is None or facts.now - one.verified > BACKUP:
            seen = "never" if one.verified is None else f"one of {_age(facts.now, one.verified)} ago"
            return bad(f"the newest verified {kind} backup: {seen}", _again(facts, "backup verify"))
    if not facts.backups:
        return bad("no kind of backup is looked for", _again(facts, "backup create"))
    ages = ", ".join(
        f"{kind} {_age(facts.now, one.newest)}" for kind, one in facts.backups.items() if one.newest
    )
    return good(f"verified; age: {ages}")


def drill(facts: Facts) -> Answer:
    """The newest rehearsal passed, and is not older than a week."""
    if isinstance(facts.drill, Missing):
        return unseen(facts.drill, READABLE)
    again = _again(facts, "drill")
    if facts.drill is None:
        return bad("a restore was never rehearsed", again)
    age = _age(facts.now, facts.drill.at)
    if not facts.drill.passed:
        return bad(
            f"the last drill, {age} ago, failed",
            f"Read its report ({again} --check latest), mend, then: {again}",
        )
    if facts.now - facts.drill.at > DRILL:
        return bad(f"the last drill was {age} ago", again)
    measured = f"RPO {facts.drill.rpo_seconds:,.0f} s, RTO {facts.drill.rto_seconds:,.0f} s"
    return good(f"passed {age} ago: {measured}")


def secrets(facts: Facts) -> Answer:
    """Each has a value, is private, and was changed within 90 days unless it rotates by itself."""
    if isinstance(facts.secrets, Missing):
        return unseen(facts.secrets, "Give credentials that may secretsmanager:ListSecrets.")
    if not facts.secrets:
        return bad("no secret was found", "Run `superagent up`." if facts.local else "Run `pulumi up`.")
    for one in facts.secrets:
        if not one.private:
            return bad(f"{one.name} can be read by others", f"chmod 600 {one.name}")
        if one.changed is None:
            return bad(f"{one.name} has no value", "Put one: `aws secretsmanager put-secret-value`.")
        if not one.rotates and facts.now - one.changed > SECRET:
            return bad(
                f"{one.name} was last changed {_age(facts.now, one.changed)} ago",
                'Change it (docs/operations/environments.md, "Rotation"), then release.',
            )
    return good(f"{len(facts.secrets)} secrets, each changed within {SECRET.days} days or rotating")


def _again(facts: Facts, verb: str) -> str:
    return f"superagent {verb} --stack {facts.environment}"


def _age(now: datetime, then: datetime | None) -> str:
    """In words of one unit."""
    if then is None:
        return "never"
    hours = (now - then).total_seconds() / 3600
    return (
        f"{hours / 24:.0f} days"
        if hours >= 48
        else f"{hours:.0f} h"
        if hours >= 2
        else f"{hours * 60:.0f} min"
    )
