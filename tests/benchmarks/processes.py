"""Processes under measurement: started, asked when ready, read from /proc, stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Measured:
    """A process on a loopback port; `started` is how long it took to be ready, in seconds."""

    def __init__(
        self,
        command: list[str],
        port: int,
        ready: str,
        environ: Mapping[str, str] | None = None,
        limit: float = 60,
        log: Path | None = None,
    ) -> None:
        self.port = port
        began = time.perf_counter()
        output = log.open("ab") if log is not None else subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, env={**os.environ, **(environ or {})}, cwd=ROOT, stdout=output, stderr=output
        )
        while not answers(f"http://127.0.0.1:{port}{ready}"):
            if self.process.poll() is not None or time.perf_counter() - began > limit:
                self.stop()
                raise RuntimeError(f"{command[0]} was not ready within {limit:.0f} s")
            time.sleep(0.005)
        self.started = time.perf_counter() - began

    def cpu(self) -> float:
        """CPU seconds so far, of it and its children, to the nanosecond where the kernel counts so."""
        return sum([cpu_of(pid) for pid in family(self.process.pid)])

    def memory(self) -> float:
        """Resident megabytes."""
        total = 0.0
        for pid in family(self.process.pid):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) / 1024
        return total

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def cpu_of(pid: int) -> float:
    """CPU seconds of one process so far; 0 for one that ended."""
    total = 0.0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0]) / 1e9
    except OSError:  # ended meanwhile, or a kernel without it
        pass
    return total


def family(pid: int) -> list[int]:
    """A process and what it started."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    except OSError:
        pass
    return found


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def python(module: str, *arguments: str) -> list[str]:
    return [INTERPRETER[0], "-m", module, *arguments]


INTERPRETER = [sys.executable]


def use(interpreter: str) -> str:
    """Measure with this interpreter and the packages of ours; returns what it is. Raises `ValueError`."""
    ask = "import sys, platform as p; print(p.python_version(), '%d.%d' % sys.version_info[:2], sep='|')"
    done = subprocess.run([interpreter, "-c", ask], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{interpreter} is no Python that runs")
    version, minor = done.stdout.strip().split("|")
    ours = "{}.{}".format(*sys.version_info[:2])
    if minor != ours:
        raise ValueError(f"{interpreter} is Python {minor}; the packages here are built for {ours}")
    if interpreter != sys.executable:
        os.environ["PYTHONPATH"] = sysconfig.get_paths()["purelib"]
    INTERPRETER[0] = interpreter
    return f"Python {version}"
