"""Streams between programs and the bucket: encrypted when asked, hashed and measured while they flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

import zstandard

from infra.recovery import envelope
from infra.recovery.manifest import Archive, Manifest, Segment, folder
from infra.recovery.progress import Meter
from infra.recovery.store import Store
from infra.recovery.writer import Writer

CHUNK = 1 << 18
"""Bytes read from a pipe at once."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Where one backup's archives go to or come from, and the key they are sealed with, if any."""

    store: Store
    prefix: str
    backup_id: str
    data_key: bytes | None

    def save(self, name: str, chunks: Iterator[bytes], meter: Meter) -> tuple[Segment, ...]:
        """Write one archive; nothing of it stays when this raises."""
        if self.data_key is not None:
            chunks = envelope.encrypt(chunks, envelope.archive_key(self.data_key, self.backup_id, name))
        with Writer(self.store, self.prefix + name) as writer:
            for chunk in chunks:
                writer.write(chunk)
                meter.add(len(chunk))
            return writer.close()

    def load(self, archive: Archive, meter: Meter) -> Iterator[bytes]:
        """Read one archive back, every byte checked against the manifest."""
        stored = _measured(self.store.read(archive.segments), meter)
        if self.data_key is None:
            return stored
        key = envelope.archive_key(self.data_key, self.backup_id, archive.name)
        return envelope.decrypt(stored, key, archive.name)


def vault_of(manifest: Manifest, store: Store, kms: object) -> Vault:
    """The vault that opens an existing backup; asks KMS for the data key when it is encrypted."""
    key = envelope.unwrap_data_key(kms, manifest.encryption, manifest.id) if manifest.encryption else None
    return Vault(store, folder(manifest.kind, manifest.id), manifest.id, key)


def pipe_chunks(pipe: IO[bytes]) -> Iterator[bytes]:
    """What a child process writes, as it comes."""
    while chunk := pipe.read(CHUNK):
        yield chunk


def compressed(chunks: Iterator[bytes], level: int) -> Iterator[bytes]:
    """One zstd frame."""
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The reverse of `compressed`."""
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    for chunk in chunks:
        if plain := unpacker.decompress(chunk):
            yield plain


def _measured(chunks: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    for chunk in chunks:
        meter.add(len(chunk))
        yield chunk


Role = Literal["schema", "data", "rest", "rdb", "config", "base"]
