"""The way into the bucket: a stream as objects of bounded size, uploaded in parts of bounded memory."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.recovery.manifest import Segment
from infra.recovery.store import IN_FLIGHT, Store


class Writer:
    """Bytes in, segments out: hashed while they flow, parts uploaded while the next one fills.

    The objects are `prefix.00000`, `prefix.00001`, …
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self.store = store
        self.prefix = prefix
        self.part = store.part
        self.limit = store.segment
        self.segments: list[Segment] = []
        self._pool = ThreadPoolExecutor(IN_FLIGHT)
        self._buffer = bytearray()
        self._begin()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._abort()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, data: bytes) -> None:
        """Add bytes; waits while enough parts are on their way."""
        self._digest.update(data)
        self._buffer += data
        self._size += len(data)
        while len(self._buffer) >= self.part:
            body = bytes(memoryview(self._buffer)[: self.part])
            del self._buffer[: self.part]
            self._send(body)
        if self._size >= self.limit:
            self._finish()
            self._begin()

    def close(self) -> tuple[Segment, ...]:
        """Finish the last object and return all segments."""
        if self._size or not self.segments:
            self._finish()
        return tuple(self.segments)

    @property
    def key(self) -> str:
        return f"{self.prefix}.{len(self.segments):05d}"

    def _begin(self) -> None:
        self._digest = hashlib.sha256()
        self._size = 0
        self._upload: str | None = None
        self._parts: list[Future[dict[str, Any]]] = []

    def _send(self, body: bytes) -> None:
        client, bucket = self.store.client, self.store.bucket
        try:
            if self._upload is None:
                made = client.create_multipart_upload(Bucket=bucket, Key=self.key, **self.store.encryption())
                self._upload = made["UploadId"]
            waiting = [part for part in self._parts if not part.done()]
            if len(waiting) >= IN_FLIGHT:
                waiting[0].result()
            for part in self._parts:
                if part.done():
                    part.result()
        except (ClientError, BotoCoreError) as failed:
            raise self.store.failure(f"write {self.key} to", failed) from None
        number = len(self._parts) + 1
        self._parts.append(self._pool.submit(self._put_part, self._upload, self.key, number, body))

    def _put_part(self, upload: str, key: str, number: int, body: bytes) -> dict[str, Any]:
        done = self.store.client.upload_part(
            Bucket=self.store.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
        )
        return {"PartNumber": number, "ETag": done["ETag"]}

    def _finish(self) -> None:
        body, key = bytes(self._buffer), self.key
        self._buffer.clear()
        if self._upload is None:
            version = self.store.put(key, body)
        else:
            if body:
                self._send(body)
            try:
                done = self.store.client.complete_multipart_upload(
                    Bucket=self.store.bucket,
                    Key=key,
                    UploadId=self._upload,
                    MultipartUpload={"Parts": [part.result() for part in self._parts]},
                )
            except (ClientError, BotoCoreError) as failed:
                raise self.store.failure(f"write {key} to", failed) from None
            version = done.get("VersionId")
        self.segments.append(Segment(key, self._size, self._digest.hexdigest(), version))
        self._upload = None

    def _abort(self) -> None:
        for part in self._parts:
            part.cancel()
        if self._upload is not None:
            try:
                self.store.client.abort_multipart_upload(
                    Bucket=self.store.bucket, Key=self.key, UploadId=self._upload
                )
            except (ClientError, BotoCoreError):
                return  # prune and the bucket's lifecycle rule remove abandoned uploads
            finally:
                self._upload = None
