"""A disk that is full, or a folder that is closed, as a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import OperationFailed


@contextmanager
def writing(folder: Path | str) -> Iterator[None]:
    """Writing below `folder`: what the system refuses becomes `OperationFailed` with the place and reason."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as failed:
        raise OperationFailed(
            f"{folder} cannot be written: {failed.strerror or failed}. Make room or set TMPDIR."
        ) from None
