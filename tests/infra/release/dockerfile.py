"""Does by hand what a builder would do with a Dockerfile: its steps, in a folder instead of a container."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

INSTRUCTION = re.compile(r"^([A-Z]+) +(.*)$", re.DOTALL)
INSIDE = ("/opt/superagent", "/var/lib/superagent", "/build")
"""Paths that the Dockerfile writes to; here they lie below `root`."""


def instructions(text: str) -> list[tuple[str, str]]:
    """Name and rest of each instruction, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [match.groups() for line in joined.splitlines() if (match := INSTRUCTION.match(line))]  # type: ignore[misc]


@dataclass
class Stage:
    """One stage of the file and where its files lie."""

    root: Path
    context: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    entry: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    user: str = ""

    def inside(self, text: str) -> str:
        """`text` with the image's paths turned into those below `root`."""
        for path in INSIDE:
            text = re.sub(rf"(?<![\w./-]){path}(?=/|\b)", f"{self.root}{path}", text)
        return text

    def do(self, name: str, rest: str) -> None:
        """One instruction. Those that only describe the image are remembered or passed over."""
        if name == "ARG":
            key, _, value = rest.partition("=")
            self.environment.setdefault(key, value)
        elif name == "ENV":
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                self.environment[key] = self._expand(self.inside(value))
        elif name == "WORKDIR":
            self.folder = rest
            Path(self.inside(rest)).mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and not rest.startswith("--from="):
            self._copy(rest.split())
        elif name == "RUN":
            self._run(rest)
        elif name == "USER":
            self.user = rest
        elif name == "ENTRYPOINT":
            self.entry = json.loads(rest)
        elif name == "HEALTHCHECK":
            self.healthcheck = json.loads(rest.partition("CMD ")[2])

    def _expand(self, value: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda one: self.settings().get(one[1], ""), value)

    def settings(self) -> dict[str, str]:
        """The environment of a process in this stage."""
        host = {key: text for key, text in os.environ.items() if not key.startswith("SUPERAGENT_")}
        return {**host, **self.environment}

    def _copy(self, words: list[str]) -> None:
        *sources, target = words
        target = self.inside(target if target.startswith("/") else f"{self.folder}/{target}")
        for source in sources:
            found = self.context / source
            if found.is_dir():
                shutil.copytree(found, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(found, target)

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["sh", "-c", self.inside(command)], cwd=self.inside(self.folder), env=self.settings(),
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"RUN {command}\n{done.stdout}\n{done.stderr}"
