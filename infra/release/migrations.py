"""May this release's migrations run while the old version still works on the same database?

Every migration file says what it does in one header line:

* `-- superagent: expand` adds; the version before it goes on working.
* `-- superagent: contract after <version>` takes away; it may run once no version before `<version>` can
  come back: `<version>` was released, its rollback window has passed, and nothing older was released since.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from infra.home import CHECKOUT
from infra.release.journal import Journal
from infra.release.lease import Lease
from infra.release.state import Phase, Run

FOLDER: Final = CHECKOUT / "service" / "storage" / "migrations"
_HEADER: Final = re.compile(r"^--\s*superagent:\s*(expand|contract)(?:\s+after\s+(\S+))?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One SQL file and what it declares; `kind` is `None` without a header."""

    name: str
    kind: Literal["expand", "contract"] | None
    after: str
    digest: str


def read(folder: Path = FOLDER) -> list[MigrationFile]:
    """The migration files in the order in which they run."""
    return [parse(path.name, path.read_text()) for path in sorted(folder.glob("*.sql"))]


def parse(name: str, text: str) -> MigrationFile:
    """What one file declares."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    found = _HEADER.search(text)
    if found is None:
        return MigrationFile(name, None, "", digest)
    return MigrationFile(name, "contract" if found[1] == "contract" else "expand", found[2] or "", digest)


def problem(files: Sequence[MigrationFile], applied: Mapping[str, str], runs: Sequence[Run]) -> str | None:
    """Why the pending ones must not run now, or `None`.

    `applied` maps names to digests as releases recorded them; `runs` are the newest first.
    """
    for file in files:
        if file.name in applied:
            if applied[file.name] != file.digest:
                return f"migration {file.name} was applied and then edited; restore it and add a new file"
            continue
        if file.kind is None:
            return (
                f"migration {file.name} does not say whether the old version can live with it; "
                "add `-- superagent: expand` or `-- superagent: contract after <version>`"
            )
        if file.kind == "contract" and (why := _too_early(file, runs)):
            return why
    return None


def _too_early(file: MigrationFile, runs: Sequence[Run]) -> str | None:
    if not file.after:
        return f"migration {file.name} is `contract` but names no version: write `contract after <version>`"
    done = [run for run in runs if run.phase is Phase.SUCCEEDED]
    versions = [run.version for run in done]
    if file.after in versions:
        since = versions.index(file.after)
        first = len(versions) - 1 - versions[::-1].index(file.after)
        for run in done[:since]:
            how = "rolled back to" if run.kind == "rollback" else "released again"
            if run.kind == "rollback" or run.version in versions[first:]:
                return f"migration {file.name} waits: {run.version} was {how} after {file.after}"
        return None
    live = versions[0] if versions else "an unknown version"
    return (
        f"migration {file.name} takes away what versions before {file.after} use, and {file.after} was not "
        f"released and kept past its rollback window here (live: {live}); release {file.after} first"
    )


@dataclass(frozen=True, slots=True)
class MigrationRules:
    """The check that preflight does, and the record of what was applied."""

    journal: Journal
    lease: Lease
    folder: Path = FOLDER

    def problem(self, run: Run) -> str | None:
        """Why this run's migrations must not run now, or `None`."""
        if run.kind == "rollback":
            return None
        return problem(read(self.folder), self.journal.migrations(), self.journal.runs(limit=100))

    def record(self) -> None:
        """Remember every file as applied."""
        self.journal.record_migrations({file.name: file.digest for file in read(self.folder)}, self.lease)
