"""Short commands that `up` runs beside other work, and ends when it is interrupted."""

from __future__ import annotations

import asyncio
import ctypes
import signal
from collections.abc import Mapping, Sequence

from infra.errors import OperationFailed
from infra.home import CHECKOUT

END_SECONDS = 5.0

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)


def end_with_parent() -> None:
    """For `preexec_fn`: a tool that is killed leaves no command behind that works beside the next attempt.

    The kernel means the thread that starts the command: it has to outlive it.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def run(command: Sequence[str], what: str, environment: Mapping[str, str]) -> str:
    """Standard output of a command that must succeed; cancelling ends the command first.

    Raises `OperationFailed` with the end of what it complained.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        env=dict(environment),
        preexec_fn=end_with_parent,
    )
    try:
        output, complaint = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
        raise
    if process.returncode:
        raise OperationFailed(f"{what} failed: {complaint.decode(errors='replace').strip()[-800:]}")
    return output.decode()
