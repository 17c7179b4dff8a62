"""What a debate is asked to be, and the steps it is made of: plain data that is stored and read back."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct, field

Style = Literal["collaborative", "adversarial", "critique", "delphi"]
Status = Literal["running", "completed", "failed", "cancelled"]
Kind = Literal["turn", "judge", "embedding", "agreement", "final"]

ENDPOINT: Final = "/v1/debates"


class Said(Struct, frozen=True):
    """One message that the debate starts from."""

    role: Literal["system", "user", "assistant"]
    content: str


class Debater(Struct, frozen=True):
    """`targets` are router names: the model, then its fallbacks in order."""

    id: str
    name: str
    role: str
    targets: tuple[str, ...]


class Spec(Struct, frozen=True, kw_only=True):
    """A checked debate. `threshold` is the agreement, 0 to 1, at which it stops; times in seconds."""

    messages: tuple[Said, ...]
    debaters: tuple[Debater, ...]
    rounds: int
    style: Style
    threshold: float
    budget_usd: float | None
    deadline_seconds: float
    turn_seconds: float
    max_tokens: int
    temperature: float | None
    judge: str = ""
    embedding: str = ""

    @property
    def question(self) -> str:
        """The last thing the user said."""
        return next((one.content for one in reversed(self.messages) if one.role == "user"), "")


class Step(Struct, kw_only=True):
    """One step, done: its id says what it is (`r2.p1`, `r2.judge`, `r2.embedding`, `r2.agreement`, `final`).
    `absent` means that it was tried, with every fallback, and failed.
    """

    id: str
    kind: Kind
    round: int
    participant: str = ""
    status: Literal["ok", "absent"] = "ok"
    provider: str = ""
    model: str = ""
    attempts: int = 0
    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    error: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0
    seq: int = 0
    """In which order the debate's steps were stored; 0 before."""


Steps = dict[str, Step]


def turns_of(steps: Steps, number: int) -> list[Step]:
    """What was said in a round, in the participants' order."""
    found = [
        one for one in steps.values() if one.kind == "turn" and one.round == number and one.status == "ok"
    ]
    return sorted(found, key=lambda one: int(one.participant[1:]))


def last_turn(steps: Steps, participant: str, before: int) -> Step | None:
    """What a participant said last before a round."""
    for number in range(before - 1, 0, -1):
        step = steps.get(f"r{number}.{participant}")
        if step is not None and step.status == "ok":
            return step
    return None


def last_round(steps: Steps) -> int:
    """The last round in which somebody spoke; 0 when nobody did."""
    return max([one.round for one in steps.values() if one.kind == "turn" and one.status == "ok"], default=0)


def concluding_round(steps: Steps) -> int:
    """The round that the result speaks of: the last one whose agreement was measured, else `last_round`."""
    measured = [one.round for one in steps.values() if one.kind == "agreement"]
    return max(measured, default=last_round(steps))


def spent(steps: Steps) -> float:
    """USD so far."""
    return sum([one.cost_usd for one in steps.values()])
