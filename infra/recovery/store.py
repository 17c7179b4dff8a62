"""The bucket: streams written in bounded memory and read back with every byte checked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import OperationFailed, UserError
from infra.recovery.manifest import IntegrityError, Segment

PART: Final = 5 << 20
"""Bytes of one multipart part: the least that S3 takes, because memory is counted."""
CHUNK: Final = 1 << 20
"""Bytes read from an object at once."""
SEGMENT: Final = 1 << 30
"""Bytes after which a new object begins, so that no archive meets the limit of 10,000 parts."""
IN_FLIGHT: Final = 2
"""Parts of one stream that are on their way at once."""
READ_ATTEMPTS: Final = 6


@dataclass(frozen=True, slots=True)
class Found:
    """One object version in a listing."""

    key: str
    size: int
    version_id: str | None
    modified: datetime
    """By the clock of S3, the only one that all backups share."""


class Store:
    """One backup bucket through one S3 client. `need_kms` refuses a bucket without SSE-KMS."""

    def __init__(
        self, client: Any, bucket: str, need_kms: bool = True, part: int = PART, segment: int = SEGMENT
    ) -> None:
        self.client = client
        self.bucket = bucket
        self.need_kms = need_kms
        self.part = part
        self.segment = segment
        self._encryption: dict[str, str] | None = None

    def encryption(self) -> dict[str, str]:
        """Arguments of a write that make S3 encrypt as the bucket's default says."""
        if self._encryption is None:
            self._encryption = self._default_encryption()
        return self._encryption

    def _default_encryption(self) -> dict[str, str]:
        try:
            answer = self.client.get_bucket_encryption(Bucket=self.bucket)
            rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
        except ClientError as failed:
            if code_of(failed) != "ServerSideEncryptionConfigurationNotFoundError":
                raise self.failure("read the encryption of", failed) from None
            rules = []
        except BotoCoreError as failed:
            raise self.failure("read the encryption of", failed) from None
        for rule in rules:
            default = rule.get("ApplyServerSideEncryptionByDefault", {})
            if default.get("SSEAlgorithm") == "aws:kms":
                # `aws:kms` alone would mean the account's S3 key, not the bucket's.
                key = default.get("KMSMasterKeyID")
                return {"ServerSideEncryption": "aws:kms", **({"SSEKMSKeyId": key} if key else {})}
        if self.need_kms:
            raise UserError(
                f"Bucket {self.bucket} does not encrypt with KMS.",
                "Bring the stack up to date with `pulumi up`.",
            )
        return {"ServerSideEncryption": "AES256"}

    def failure(self, verb: str, error: Exception) -> OperationFailed:
        """An S3 error as a sentence."""
        reason = code_of(error) if isinstance(error, ClientError) else type(error).__name__
        return OperationFailed(f"Could not {verb} bucket {self.bucket}: {reason}.")

    # documents -------------------------------------------------------------------------------------

    def put(self, key: str, body: bytes) -> str | None:
        """Write a small object; returns its version."""
        try:
            done = self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **self.encryption())
        except (ClientError, BotoCoreError) as failed:
            raise self.failure(f"write {key} to", failed) from None
        version: str | None = done.get("VersionId")
        return version

    def get(self, key: str, version_id: str | None = None) -> bytes | None:
        """A small object, or None when it does not exist."""
        which = {"VersionId": version_id} if version_id else {}
        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=key, **which)["Body"].read()
        except ClientError as failed:
            if code_of(failed) in {"NoSuchKey", "NoSuchVersion", "404"}:
                return None
            raise self.failure(f"read {key} from", failed) from None
        except BotoCoreError as failed:
            raise self.failure(f"read {key} from", failed) from None
        return body

    def put_json(self, key: str, value: Any) -> None:
        self.put(key, json.dumps(value, indent=1, sort_keys=True, default=str).encode())

    def get_json(self, key: str) -> Any:
        """The document at `key`, or None."""
        body = self.get(key)
        return None if body is None else json.loads(body)

    def list(self, prefix: str) -> Iterator[Found]:
        """Current objects under a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    yield Found(item["Key"], item["Size"], None, item["LastModified"])
        except (ClientError, BotoCoreError) as failed:
            raise self.failure("list", failed) from None

    def head(self, segment: Segment) -> dict[str, Any] | None:
        """Metadata of a segment as it is now, or None when it is gone."""
        which = {"VersionId": segment.version_id} if segment.version_id else {}
        try:
            found: dict[str, Any] = self.client.head_object(Bucket=self.bucket, Key=segment.key, **which)
        except ClientError as failed:
            if code_of(failed) in {"404", "NoSuchKey", "NoSuchVersion", "400"}:
                return None
            raise self.failure(f"inspect {segment.key} in", failed) from None
        return found

    # streams ---------------------------------------------------------------------------------------

    def read(self, segments: tuple[Segment, ...]) -> Iterator[bytes]:
        """The stream back, in order; `IntegrityError` on the first segment that is not what was written."""
        for segment in segments:
            digest = hashlib.sha256()
            size = 0
            for chunk in self._stream(segment):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
            if size != segment.size or digest.hexdigest() != segment.sha256:
                raise IntegrityError(f"{segment.key} is damaged: its SHA-256 is not the manifest's.")

    def _stream(self, segment: Segment) -> Iterator[bytes]:
        """One object from its beginning; a connection that is cut is taken up again where it was."""
        place, failures = 0, 0
        while place < segment.size:
            try:
                with contextlib.closing(self._open(segment, place)) as body:
                    while chunk := body.read(CHUNK):
                        place, failures = place + len(chunk), 0
                        yield chunk
            except (BotoCoreError, OSError) as failed:
                # botocore retries the request, not the body: a connection cut half-way ends here.
                failures += 1
                if failures == READ_ATTEMPTS:
                    raise self.failure(f"read {segment.key} from", failed) from None
                time.sleep(min(0.1 * 2**failures, 2.0))
                continue
            if place < segment.size:
                raise IntegrityError(f"{segment.key} is shorter than the manifest says.")

    def _open(self, segment: Segment, place: int) -> Any:
        which = {"VersionId": segment.version_id} if segment.version_id else {}
        asked = f"bytes={place}-{segment.size - 1}"
        try:
            return self.client.get_object(Bucket=self.bucket, Key=segment.key, Range=asked, **which)["Body"]
        except ClientError as failed:
            if code_of(failed) in {"NoSuchKey", "NoSuchVersion", "404"}:
                raise IntegrityError(f"{segment.key} is missing from bucket {self.bucket}.") from None
            if code_of(failed) in {"InvalidRange", "416"}:
                raise IntegrityError(f"{segment.key} is shorter than the manifest says.") from None
            raise self.failure(f"read {segment.key} from", failed) from None


def code_of(error: ClientError) -> str:
    """S3's error code."""
    return str(error.response.get("Error", {}).get("Code", "unknown error"))
