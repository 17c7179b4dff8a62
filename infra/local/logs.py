"""The parts' logs, merged line by line with the part's name in front."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from infra.local.layout import Layout

POLL_SECONDS = 0.2


def read(parts: list[str], place: Layout, lines: int, follow: bool) -> Iterator[str]:
    """The last `lines` of each part's log, then, with `follow`, whatever is written, for ever.

    The name stands before each line when there is more than one part. Rotated files are followed on.
    """
    width = max(map(len, parts))
    prefix = {part: f"{part:<{width}}  " if len(parts) > 1 else "" for part in parts}
    files: dict[str, TextIO] = {}
    for part in parts:
        files[part] = place.log(part).open(errors="replace")
        for line in deque(files[part], maxlen=lines):
            yield prefix[part] + line.rstrip("\n")
    while follow:
        quiet = True
        for part, file in files.items():
            for line in file:
                quiet = False
                yield prefix[part] + line.rstrip("\n")
            if _rotated(file, place.log(part)):
                file.close()
                files[part] = place.log(part).open(errors="replace")
        if quiet:
            time.sleep(POLL_SECONDS)


def _rotated(file: TextIO, path: Path) -> bool:
    try:
        return path.stat().st_ino != Path(f"/proc/self/fd/{file.fileno()}").stat().st_ino
    except OSError:
        return False
