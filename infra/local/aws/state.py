"""The state of the local AWS API on disk: what was answered is there after a crash.

One file per group of backends, replaced atomically. Backends that hold each other's objects (an auto-scaling
group its instances, a load balancer its subnets) share a group, so that one object stays one object; those
that stand alone have files of their own, so that a release's journal entry does not rewrite the network.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import IO, Any, Final

import moto

from infra.errors import UserError
from infra.local.aws import pickling
from infra.local.aws.blobs import Blobs, sync_folder
from infra.local.aws.emulator import BackendKey, backends
from infra.local.log_line import log

FORMAT: Final = 1
MAGIC: Final = b"superagent-aws-state\n"
CORE: Final = "core"
ALONE: Final = frozenset({
    "cloudwatch", "dynamodb", "ecr", "kms", "logs", "route53", "s3", "secretsmanager", "sns", "sqs", "ssm",
    "wafv2",
})  # fmt: skip
CHANGES: Final[dict[str, frozenset[str]]] = {
    **{name: frozenset({name}) for name in ALONE - {"s3", "sns", "cloudwatch"}},
    **{
        name: frozenset({CORE})
        for name in ("ec2", "elasticloadbalancing", "autoscaling", "iam", "acm", "sts")
    },
    "sns": frozenset({"sns", "sqs"}),
    "s3": frozenset({"s3", "sns", "sqs"}),
}
"""Which groups a call to a service (by signing name) can change, read in moto 5.2.5; others: all."""
RELAYS: Final = frozenset({"awslambda", "cloudformation", "events", "firehose", "kinesis", "stepfunctions"})
"""Once one of these is in use, any call may change anything."""
NEVER: Final = frozenset({"moto_api", "instance_metadata"})


def group_of(service: str) -> str:
    return service if service in ALONE else CORE


class Store:
    """The folder `data`; one process at a time (held by a lock file).

    Raises `UserError` when the folder is in use, not writable or damaged.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        try:
            data.mkdir(parents=True, exist_ok=True)
            data.chmod(0o700)  # it holds the values of secrets and keys
            self._lock = _locked(data / "lock")
        except OSError as failed:
            raise UserError(
                f"Cannot write {data}: {failed.strerror}.", "Mend it or pass another --data."
            ) from None
        self._move_foreign_aside()
        self.blobs = Blobs(data / "blobs")
        self._written: dict[str, bytes] = {}
        self._unstorable: dict[BackendKey, str] = {}

    def load(self) -> list[str]:
        """Put everything on disk into moto; the services found. Raises `UserError` for a damaged file."""
        paths = sorted(self.data.glob("*.state"))
        payloads = {path: _read(path) for path in paths}
        for path, payload in payloads.items():
            try:
                pickling.load(payload, self.blobs)
            except Exception as failed:
                raise _damaged(path, f"{type(failed).__name__}: {failed}") from failed
            self._written[path.stem] = _digest(payload)
        self.blobs.sweep()
        return sorted({key.service for key in backends()})

    def save(self, service: str) -> None:
        """Write what a call to `service` may have changed ("": anything); returns when it is durable.

        Raises `OSError`; then memory is ahead of the disk.
        """
        live = {key: one for key, one in backends().items() if key.service not in NEVER}
        groups: dict[str, list[BackendKey]] = defaultdict(list)
        for key in live:
            groups[group_of(key.service)].append(key)
        relayed = any(key.service in RELAYS for key in live)
        for group in sorted(groups):
            if relayed or group in CHANGES.get(service, groups):
                self._save_group(group, groups[group], live)
        self.blobs.drop_retired()

    def _save_group(self, group: str, keys: list[BackendKey], live: dict[BackendKey, Any]) -> None:
        payload = self._dump(keys, live)
        digest = _digest(payload)
        if self._written.get(group) == digest:
            return
        path = self.data / f"{group}.state"
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(MAGIC + digest + payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(self.data)
        self._written[group] = digest

    def _dump(self, keys: list[BackendKey], live: dict[BackendKey, Any]) -> bytes:
        storable = [key for key in keys if key not in self._unstorable]
        try:
            return pickling.dump(storable, live, self.blobs)
        except OSError:
            raise
        except Exception:
            for key in storable:
                self._try_one(key, live)
            left = [key for key in storable if key not in self._unstorable]
            if left == storable:
                raise
            return self._dump(left, live)

    def _try_one(self, key: BackendKey, live: dict[BackendKey, Any]) -> None:
        try:
            pickling.dump([key], live, self.blobs)
        except OSError:
            raise
        except Exception as failed:
            reason = f"{type(failed).__name__}: {failed}"
            self._unstorable[key] = reason
            log("not persisted", service=key.service, region=key.region, reason=reason)

    def clear(self) -> None:
        """Forget everything, on disk too."""
        for path in self.data.glob("*.state"):
            path.unlink()
        self._written.clear()
        self._unstorable.clear()
        self.blobs.drop_retired()
        sync_folder(self.data)

    def _move_foreign_aside(self) -> None:
        stamp = {"format": FORMAT, "moto": moto.__version__, "python": pickling.python_version()}
        path = self.data / "format.json"
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            found = stamp if not any(self.data.glob("*.state")) else {"format": "unknown"}
        except ValueError:
            found = {"format": "unreadable"}
        if found != stamp:
            aside = self.data / f"aside-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
            aside.mkdir(mode=0o700)
            for old in [*self.data.glob("*.state"), *self.data.glob("blobs"), *self.data.glob("format.json")]:
                old.rename(aside / old.name)
            log(
                "state of another version kept aside; starting empty",
                found=found,
                wanted=stamp,
                kept=str(aside),
            )
        path.write_text(json.dumps(stamp))


def _locked(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"{path.parent} belongs to a running AWS API.", "Stop that one or pass another --data."
        ) from None
    return file


def _read(path: Path) -> bytes:
    raw = path.read_bytes()
    head = len(MAGIC) + hashlib.blake2b().digest_size
    if not raw.startswith(MAGIC) or raw[len(MAGIC) : head] != _digest(raw[head:]):
        raise _damaged(path, "its checksum does not fit")
    return raw[head:]


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} is damaged ({reason}).",
        "Restore it from a copy, or move it away to start that part of the local AWS empty.",
    )


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload).digest()
