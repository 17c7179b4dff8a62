"""Is the new colour as good as the old one? Pure comparisons, and what fetches their samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from infra.release import stats
from infra.release.clock import Clock
from infra.release.sample import Sample, Source
from infra.release.settings import Limits
from infra.release.state import Run
from infra.release.verdict import Check, Judgement, Verdict

FEWEST: Final = 8
"""Observations on either side below which a rank test can prove nothing."""
P99_FEWEST: Final = 100


@dataclass(slots=True)
class ColourAnalysis:
    """Compares the new colour since its step began with the old one since the first shift."""

    source: Source
    limits: Limits
    min_requests: int
    clock: Clock
    _last: tuple[str, float, Judgement] | None = None

    def judge(self, run: Run) -> Judgement:
        """The newest judgement; asks the store at most once an interval."""
        now = self.clock.now()
        if self._last and self._last[0] == run.mark and now - self._last[1] < self.source.interval:
            return self._last[2]
        new = self.source.window(run.new, run.entered_at, now)
        old = self.source.window(run.old, run.shifted_at or run.entered_at, now)
        judgement = compare(old, new, self.limits, self.min_requests)
        self._last = (run.mark, now, judgement)
        return judgement


def compare(old: Sample | None, new: Sample | None, limits: Limits, min_requests: int) -> Judgement:
    """Every check on two samples. Without a sample of the new colour there is no judgement, never a pass."""
    if new is None:
        return Judgement((Check("requests", Verdict.NO_DATA, "no metrics of the new colour arrive"),))
    base = old or Sample()
    return Judgement(
        (
            share("errors", "answered with 5xx", new.errors, new.requests, base.errors, base.requests,
                  limits.error_ratio, limits.confidence_z),
            share("broken streams", "of provider calls broke", new.broken_streams, new.provider_calls,
                  base.broken_streams, base.provider_calls, limits.stream_abort_ratio, limits.confidence_z),
            slower("p95", 0.95, new.duration, base.duration, limits.latency_factor, limits),
            slower("p99", 0.99, new.duration, base.duration, limits.latency_factor, limits, P99_FEWEST),
            slower("time to first token p95", 0.95, new.ttft, base.ttft, limits.ttft_factor, limits),
            cost(new, base, limits),
            saturation(new, base, limits),
            enough(new, min_requests),
        )
    )  # fmt: skip


def enough(new: Sample, min_requests: int) -> Check:
    """The one check that little traffic fails: it leaves the judgement open."""
    text = f"{new.requests:.0f} requests on the new colour, {min_requests} are needed"
    verdict = Verdict.PASS if new.requests >= min_requests else Verdict.NO_DATA
    return Check("requests", verdict, text, None, new.requests)


def share(
    name: str, what: str, hits: float, n: float, old_hits: float, old_n: float, limit: float, z: float
) -> Check:
    """A share that must not be worse: above `limit` for certain, and worse than the old colour's.

    An old colour without a single hit is no proof of anything, so then the limit alone decides.
    """
    low, _ = stats.wilson(hits, n, z)
    text = f"{hits:.0f} of {n:.0f} {what} (old colour {old_hits:.0f} of {old_n:.0f})"
    worse = old_hits == 0 or stats.fisher_worse(
        round(hits), round(max(n, hits)), round(old_hits), round(max(old_n, old_hits))
    ) < stats.upper_tail(z)
    failed = hits >= 2 and low > limit and worse
    verdict = Verdict.FAIL if failed else Verdict.PASS
    return Check(name, verdict, text, old_hits / old_n if old_n else None, hits / n if n else None)


def slower(
    name: str,
    q: float,
    new: Mapping[float, float],
    old: Mapping[float, float],
    factor: float,
    limits: Limits,
    fewest: int = FEWEST,
) -> Check:
    """A latency quantile: too much worse in size, and worse for certain by rank."""
    ours, theirs = stats.quantile(q, new), stats.quantile(q, old)
    if ours is None or theirs is None or min(stats.total(new), stats.total(old)) < fewest:
        return Check(name, Verdict.PASS, f"{name}: too few answers to compare", theirs, ours)
    text = f"{name} {ours * 1000:.0f} ms, old colour {theirs * 1000:.0f} ms"
    large = ours > theirs * factor and ours > theirs + limits.latency_floor
    certain = stats.slower_z(new, old) > limits.confidence_z
    return Check(name, Verdict.FAIL if large and certain else Verdict.PASS, text, theirs, ours)


def cost(new: Sample, old: Sample, limits: Limits) -> Check:
    """USD per provider call; judged when both colours made enough of them."""
    if min(new.provider_calls, old.provider_calls) < FEWEST or old.cost_usd <= 0:
        return Check("cost per call", Verdict.PASS, "cost: too few paid calls to compare")
    ours, theirs = new.cost_usd / new.provider_calls, old.cost_usd / old.provider_calls
    text = f"a call costs ${ours:.6f}, on the old colour ${theirs:.6f}"
    verdict = Verdict.FAIL if ours > theirs * limits.cost_factor else Verdict.PASS
    return Check("cost per call", verdict, text, theirs, ours)


def saturation(new: Sample, old: Sample, limits: Limits) -> Check:
    """CPU: the new colour's instances are full, and not just because they have more to do."""
    ours, theirs = new.cpu_per_instance, old.cpu_per_instance
    if ours is None:
        return Check("cpu", Verdict.PASS, "cpu: not exported")
    dearer = (
        min(new.requests, old.requests) >= FEWEST
        and new.cpu_seconds / new.requests > limits.cpu_factor * old.cpu_seconds / old.requests
    )
    text = f"an instance uses {ours:.2f} CPU seconds a second"
    verdict = Verdict.FAIL if ours > limits.cpu_seconds and dearer else Verdict.PASS
    return Check("cpu", verdict, text, theirs, ours)
