"""A running system to release into, and what people would see of its releases."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.e2e.commands import SuperAgent
from tests.infra.release.load import Load, Tally


@dataclass(frozen=True, slots=True)
class System:
    """A running system and its admin key."""

    superagent: SuperAgent
    key: str

    def load(self, **settings: Any) -> Load:
        return Load(f"http://127.0.0.1:{self.superagent.ports()['api']}", self.key, **settings)

    def release(
        self, *words: str, seconds: float = 280, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return self.superagent.run("release", *words, seconds=seconds, **environment)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.superagent.must("release", "status", "--json"))
        return found

    def live(self) -> dict[str, int]:
        """Weight by version, of the colours that have any."""
        return {one["image"]: one["weight"] for one in self.status()["colours"] if one["weight"]}

    def lives(self, colour: str) -> bool:
        parts = self.superagent.parts()
        return any(
            part["pid"]
            for name, part in parts.items()
            if name.startswith(colour) and part["state"] == "RUNNING"
        )

    def aws(self, service: str) -> Any:
        """A client of the system's own AWS."""
        return boto3.client(
            service, endpoint_url=f"http://127.0.0.1:{self.superagent.ports()['aws']}",
            region_name=self.outputs()["region"],
            aws_access_key_id="local", aws_secret_access_key="local",
        )  # fmt: skip

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.superagent.home / "outputs.json").read_text())
        return found

    def journal(self) -> list[dict[str, Any]]:
        """Every line of the newest release."""
        (newest,) = json.loads(self.superagent.must("release", "history", "--limit", "1", "--json"))
        lines: list[dict[str, Any]] = json.loads(
            self.superagent.must("release", "history", newest["run_id"], "--json")
        )
        return lines

    def in_phase(self, phase: str, process: subprocess.Popen[str]) -> None:
        """Wait until the release that `process` drives says that it entered a phase."""
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if re.search(rf"\b{phase}\b", line):
                return
        raise AssertionError(f"never in {phase}: {''.join(said)}")


def nobody_noticed(tally: Tally) -> None:
    assert tally.failures == []
    assert sum(tally.answers.values()) > 50
    assert tally.streams > 0


class Inbox:
    """What the operators of an environment are told: a queue that listens to its alert topic."""

    def __init__(self, system: System) -> None:
        self._sqs, sns = system.aws("sqs"), system.aws("sns")
        self._url = self._sqs.create_queue(QueueName="operators")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        sns.subscribe(
            TopicArn=system.outputs()["alert_topic_arn"],
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
        )

    def take(self) -> list[dict[str, Any]]:
        """Phase and reason of every notification since the last look, in order."""
        found: list[dict[str, Any]] = []
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                told = json.loads(json.loads(message["Body"])["Message"])
                found.append(told["metadata"]["additionalContext"])
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return found


def half_broken(folder: Path, **options: Any) -> dict[str, str]:
    """Settings of a version whose smoke tests pass while the model that clients name is bad."""
    path = folder / "providers.json"
    good = {"name": "simulator", "kind": "simulator", "models": ["echo", "lorem"]}
    bad = {"name": "bad", "kind": "simulator", "models": ["echo"], "options": options}
    path.write_text(json.dumps({"providers": [good, bad], "aliases": {"simulator": ["bad/echo"]}}))
    return {"SUPERAGENT_PROVIDERS_FILE": str(path), "SUPERAGENT_SMOKE_MODEL": "simulator/echo"}


def providers(folder: Path, **options: Any) -> str:
    """A PROVIDERS_FILE whose simulator behaves like a bad version."""
    path = folder / "providers.json"
    provider = {"name": "simulator", "kind": "simulator", "models": ["echo", "lorem"], "options": options}
    path.write_text(json.dumps({"providers": [provider], "aliases": {"simulator": ["simulator/echo"]}}))
    return str(path)
