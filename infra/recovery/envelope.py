"""Client-side envelope encryption: AES-256-GCM in frames, under a data key that KMS wraps.

Frames make it streamable; the counter and the last-frame flag in the nonce make a cut, a swap or a
repetition of frames fail (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
Every archive has a key of its own, derived by HKDF from the data key, so no nonce is ever used twice.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infra.errors import UserError
from infra.recovery.manifest import Encryption, IntegrityError

MAGIC: Final = b"SAE1"
FRAME: Final = 1 << 20
"""Plaintext bytes of a frame; each grows by the 16-byte tag."""
TAG: Final = 16


def new_data_key(kms: Any, key_id: str, backup_id: str) -> tuple[bytes, Encryption]:
    """A fresh 256-bit key and its wrapped form; the id is bound in as encryption context."""
    made = kms.generate_data_key(
        KeyId=key_id, KeySpec="AES_256", EncryptionContext={"superagent-backup": backup_id}
    )
    wrapped = base64.b64encode(made["CiphertextBlob"]).decode()
    return made["Plaintext"], Encryption(kms_key_id=key_id, wrapped_key=wrapped)


def unwrap_data_key(kms: Any, encryption: Encryption, backup_id: str) -> bytes:
    """The data key of a backup; `UserError` when this identity or this key cannot open it."""
    try:
        opened = kms.decrypt(
            CiphertextBlob=base64.b64decode(encryption.wrapped_key),
            EncryptionContext={"superagent-backup": backup_id},
        )
    except kms.exceptions.ClientError as refused:
        code = refused.response.get("Error", {}).get("Code", "unknown error")
        raise UserError(
            f"KMS did not unwrap the data key of backup {backup_id} ({code}).",
            f"Use an identity with kms:Decrypt on {encryption.kms_key_id}.",
        ) from None
    return bytes(opened["Plaintext"])


def archive_key(data_key: bytes, backup_id: str, archive: str) -> bytes:
    """The key of one archive."""
    info = f"superagent-backup/1|{backup_id}|{archive}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(data_key)


def _nonce(counter: int, last: bool) -> bytes:
    return struct.pack(">3xBQ", int(last), counter)


def encrypt(chunks: Iterator[bytes], key: bytes) -> Iterator[bytes]:
    """Plaintext chunks of any size in, header and sealed frames out."""
    cipher = AESGCM(key)
    yield MAGIC
    buffer, counter = bytearray(), 0
    for chunk in chunks:
        buffer += chunk
        # A full frame waits for one more byte, because only then it is known not to be the last.
        while len(buffer) > FRAME:
            yield cipher.encrypt(_nonce(counter, False), bytes(memoryview(buffer)[:FRAME]), None)
            del buffer[:FRAME]
            counter += 1
    yield cipher.encrypt(_nonce(counter, True), bytes(buffer), None)


def decrypt(chunks: Iterator[bytes], key: bytes, name: str) -> Iterator[bytes]:
    """The reverse; `IntegrityError` naming the archive when a frame is cut, changed or out of place."""
    cipher = AESGCM(key)
    sealed, counter = FRAME + TAG, 0
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        if counter == 0 and len(buffer) >= len(MAGIC) and not buffer.startswith(MAGIC):
            raise IntegrityError(f"Archive {name} does not begin like an encrypted archive.")
        start = len(MAGIC) if counter == 0 else 0
        while len(buffer) - start > sealed:
            yield _open(cipher, _nonce(counter, False), bytes(buffer[start : start + sealed]), name)
            del buffer[: start + sealed]
            start, counter = 0, counter + 1
    start = len(MAGIC) if counter == 0 else 0
    yield _open(cipher, _nonce(counter, True), bytes(buffer[start:]), name)


def _open(cipher: AESGCM, nonce: bytes, frame: bytes, name: str) -> bytes:
    try:
        return cipher.decrypt(nonce, frame, None)
    except (InvalidTag, ValueError):
        raise IntegrityError(
            f"Archive {name} does not decrypt: wrong key, or its bytes were cut or changed."
        ) from None
