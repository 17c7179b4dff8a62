"""Start the service on a journal folder of its own: the first that no other process holds.

Replicas share one volume, and each needs a folder that outlives it (docs/architecture.md, `JOURNAL_DIR`). The
lowest free one is taken, so that what a killed process left is replayed by the next one.
"""

import fcntl
import os
import sys
from pathlib import Path

MOST = 32


def free_slot(root: Path) -> Path:
    """The lowest folder whose lock nobody holds; the service takes the lock for good."""
    for number in range(1, MOST + 1):
        folder = root / f"slot-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return folder
    raise SystemExit(f"Error: all {MOST} journal folders below {root} are taken.")


if __name__ == "__main__":
    os.environ["SUPERAGENT_JOURNAL_DIR"] = str(free_slot(Path(os.environ["JOURNALS"])))
    del os.environ["JOURNALS"]
    # Whoever loses the race for the lock ends with 2 and is started again by its restart policy.
    os.execv(sys.executable, [sys.executable, "-m", "service", *sys.argv[1:]])  # noqa: S606
