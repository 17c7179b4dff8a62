"""One recorded revision: run the recorder in a process, read what it wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from infra.errors import OperationFailed, UserError
from infra.home import project
from infra.policy.model import Resource
from infra.stack.naming import PROJECT, STACK_TYPE

TIMEOUT_SECONDS: Final = 120
RECORDER: Final = "infra.preview.record"


@dataclass(frozen=True, slots=True)
class Recorded:
    """Resources and outputs of one run, by URN."""

    environment: str
    resources: dict[str, Resource]
    parents: dict[str, str]
    custom: frozenset[str]
    """URNs that exist in a cloud; the others are components."""
    outputs: Mapping[str, Any]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mismatches: Mapping[str, list[str]] = field(default_factory=dict)
    """By URN: inputs that are not what the SDK's types say."""
    secret_outputs: tuple[str, ...] = ()
    dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By URN: what has to exist before it, and goes after it."""

    def component(self, urn: str) -> str:
        """Name of the outermost component above a resource."""
        while self.parents.get(urn):
            urn = self.parents[urn]
        return urn.rsplit("::", 1)[-1]


def configuration(stack: str, overrides: Mapping[str, str], checkout: Path | None = None) -> dict[str, str]:
    """Keys of `Pulumi.<stack>.yaml` as Pulumi hands them to the program, and `overrides` on top."""
    path = (checkout or project()) / f"Pulumi.{stack}.yaml"
    found: dict[str, Any] = {}
    if path.exists():
        try:
            found = (yaml.safe_load(path.read_text()) or {}).get("config") or {}
        except yaml.YAMLError as broken:
            raise UserError(f"{path.name} is no YAML ({broken}).", "Mend the file.") from None
    texts = {key: _text(value) for key, value in found.items()}
    named = {key if ":" in key else f"{PROJECT}:{key}": value for key, value in overrides.items()}
    return texts | named


def _text(value: Any) -> str:
    """Pulumi hands scalars over as text and the rest as JSON; secrets stay opaque here."""
    if isinstance(value, dict) and "secure" in value:
        return "encrypted"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def revision(name: str) -> Iterator[Path]:
    """A folder with the tree of a git revision; removed afterwards."""
    git = ["git", "-C", str(project())]
    known = subprocess.run(
        [*git, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"], capture_output=True, text=True
    )
    if known.returncode:
        raise UserError(
            f"--base {name!r} is no revision of this repository.", "Name a branch, tag or commit."
        )
    folder = Path(tempfile.mkdtemp(prefix="superagent-base-"))
    try:
        archive = folder / "tree.tar"
        paths = ["infra", "alerts/rules", "alerts/alertmanager"]
        listed = subprocess.run(
            [*git, "ls-tree", "-d", "--name-only", known.stdout.strip(), "--", *paths],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        files = [
            str(one)
            for one in ("Pulumi.dev.yaml", "Pulumi.staging.yaml", "Pulumi.prod.yaml", "Pulumi.local.yaml")
        ]
        present = subprocess.run(
            [*git, "ls-tree", "--name-only", known.stdout.strip(), "--", *files],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        subprocess.run(
            [*git, "archive", "-o", str(archive), known.stdout.strip(), "--", *listed, *present], check=True
        )
        with tarfile.open(archive) as tree:
            tree.extractall(folder, filter="data")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Recording:
    """A recorder at work; two of them run side by side."""

    def __init__(self, checkout: Path, stack: str, config: Mapping[str, str]) -> None:
        self.checkout = checkout
        self.folder = Path(tempfile.mkdtemp(prefix="superagent-preview-"))
        pairs = [part for key, value in config.items() for part in ("--config", f"{key}={value}")]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                RECORDER,
                "--stack",
                stack,
                *pairs,
                "--out",
                str(self.folder / "estate.json"),
            ],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> Recorded:
        """Wait and read. Raises `UserError` for what the settings refuse, `OperationFailed` for the rest."""
        try:
            _, said = self.process.communicate(timeout=TIMEOUT_SECONDS)
            if self.process.returncode == UserError.exit_code:
                raise UserError(said.strip().removeprefix("Error: "), "")
            if self.process.returncode:
                raise OperationFailed(f"The program failed in {self.checkout.name}: {said.strip()[-3000:]}")
            return parse(json.loads((self.folder / "estate.json").read_text()))
        except subprocess.TimeoutExpired:
            raise OperationFailed(f"The program did not end within {TIMEOUT_SECONDS} s.") from None
        finally:
            self.close()

    def close(self) -> None:
        """Stop it when it still runs, and remove its folder."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def parse(document: Mapping[str, Any]) -> Recorded:
    """The recorder's JSON as a `Recorded`."""
    resources = {
        one["urn"]: Resource(
            type=one["type"],
            name=one["name"],
            urn=one["urn"],
            inputs=one["inputs"],
            secrets=tuple(one["secrets"]),
            protect=one["protect"],
            ignore_changes=tuple(one["ignore_changes"]),
        )
        for one in document["resources"]
    }
    parents = {
        one["urn"]: one["parent"]
        for one in document["resources"]
        if one["parent"] and f"::{STACK_TYPE}::" not in one["parent"]
    }
    custom = frozenset(one["urn"] for one in document["resources"] if one["custom"])
    aliases = {one["urn"]: tuple(one["aliases"]) for one in document["resources"] if one["aliases"]}
    return Recorded(
        document["environment"],
        resources,
        parents,
        custom,
        document["outputs"],
        aliases,
        document["mismatches"],
        tuple(document["secret_outputs"]),
        {one["urn"]: tuple(one.get("dependencies", ())) for one in document["resources"]},
    )
