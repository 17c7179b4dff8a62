"""The trace of a debate: one for each stretch that a process runs of it, with a span a round."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from service.telemetry.traces import Span, Trace, Tracer


class DebateTrace:
    """Rounds begin with the debate's own event; calls of models are made within `span`, if it is recorded."""

    def __init__(self, tracer: Tracer, identity: str) -> None:
        self._tracer = tracer
        self.trace: Trace = tracer.start("debate")
        self.span: Span | None = None
        recording = self.trace.recording
        if recording is not None:
            recording.root.attributes["superagent.debate"] = identity

    def heard(self, event: str, number: int) -> None:
        """An event of the debate; of `round.started`, `number` is the round."""
        recording = self.trace.recording
        if event == "round.started" and recording is not None:
            if self.span is not None:
                self.span.close()
            self.span = recording.open(f"round {number}", {"superagent.round": number})

    def end(self, outcome: str) -> None:
        """`outcome` is the debate's status, or why this process stopped with it."""
        recording = self.trace.recording
        if recording is None:
            return
        if self.span is not None:
            self.span.close()
        recording.root.attributes["superagent.outcome"] = outcome
        recording.root.close(outcome if outcome == "failed" else "")
        self._tracer.finish(recording)


# Of the task that runs a debate; its turns inherit it.
DEBATE: Final[ContextVar[DebateTrace | None]] = ContextVar("debate_trace", default=None)
