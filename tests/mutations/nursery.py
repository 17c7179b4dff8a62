"""A process that has imported pytest and the libraries, and forks one child for each run of tests.

Starting Python and importing all of it takes longer than most rows' tests. Nothing of this project may be
imported here: a child imports it from the tree that it was given, broken or not. Run as a script with names
of modules: one JSON object a line in (`root`, `arguments`, `seconds`, `log`), one exit code a line out.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from typing import Any, Final

FAILED: Final = 1  # as pytest says it; also for what does not end


def main() -> None:
    sys.path[:] = [one for one in sys.path[1:] if one]  # neither this folder nor the one it was started in
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        print(run(json.loads(line)), flush=True)


def run(wanted: dict[str, Any]) -> int:
    """pytest's exit code in a child of its own process group, which is ended after `seconds`."""
    child = os.fork()
    if child == 0:
        become(wanted["root"], wanted["log"])
        import pytest

        os._exit(int(pytest.main(wanted["arguments"])))
    until = time.monotonic() + wanted["seconds"]
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return FAILED


def become(root: str, log: str) -> None:
    """The child at home in its tree: folder, imports, output, children's imports."""
    os.setsid()
    os.chdir(root)
    sys.path.insert(0, root)
    os.environ["PYTHONPATH"] = root
    out = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(here, there)


if __name__ == "__main__":
    main()
