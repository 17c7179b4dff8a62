"""The same limits inside one process, for while Redis is gone."""

from __future__ import annotations

import time
from typing import Final

from service.limits.gcra import Bucket, judge

KEPT: Final = 50_000


class LocalBuckets:
    """Buckets by key; `share` is the part of each limit that is this process's."""

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._tat: dict[str, float] = {}

    def admit(self, buckets: tuple[Bucket, ...], costs: tuple[float, ...]) -> list[int]:
        """Judge and charge all or nothing; answers like the script: [verdict, ahead…, retry]."""
        now = time.monotonic() * 1e6
        verdicts, before = [], []
        for bucket, cost in zip(buckets, costs, strict=True):
            part = self._part(bucket)
            cost = min(cost, part.burst)  # what the whole fleet could take must not be refused for ever here
            tat = self._tat.get(bucket.key, now)
            before.append(max(0, int(tat - now)))
            verdicts.append(judge(part, tat, now, cost))
        refused = next((index for index, one in enumerate(verdicts, 1) if not one.allowed), 0)
        if refused:
            return [refused, *before, int(verdicts[refused - 1].retry_us)]
        if verdicts:
            self._room(now)
            for bucket, verdict in zip(buckets, verdicts, strict=True):
                self._tat[bucket.key] = now + verdict.ahead
        return [0, *(int(one.ahead) for one in verdicts), 0]

    def _part(self, bucket: Bucket) -> Bucket:
        if self._share == 1.0:
            return bucket
        return Bucket(
            bucket.key,
            bucket.scope,
            max(1, int(bucket.per_minute * self._share)),
            max(1, int(bucket.burst * self._share)),
        )

    def _room(self, now: float) -> None:
        """Forget what has refilled; if that is not enough, the oldest."""
        if len(self._tat) < KEPT:
            return
        self._tat = {key: tat for key, tat in self._tat.items() if tat > now}
        for key in list(self._tat)[: max(0, len(self._tat) - KEPT * 7 // 8)]:
            del self._tat[key]
