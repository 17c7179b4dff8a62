"""The body of `POST /v1/debates`, and how it becomes a checked `Spec`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from service.api.errors import ApiError
from service.debates.spec import Debater, Said, Spec, Style

Name = Annotated[str, Meta(min_length=1, max_length=200)]
MOST_PARTICIPANTS: Final = 10
MOST_CHARACTERS: Final = 200_000


class Choice(Struct, forbid_unknown_fields=True):
    """A model, and the provider when several have it."""

    model: Name
    provider: Annotated[str, Meta(max_length=200)] = ""

    @property
    def target(self) -> str:
        return f"{self.provider}/{self.model}" if self.provider else self.model


class Participant(Choice, forbid_unknown_fields=True):
    """`fallback`: who speaks for it when its model fails."""

    name: Annotated[str, Meta(max_length=100)] = ""
    role: Annotated[str, Meta(max_length=2_000)] = ""
    fallback: Annotated[list[Choice], Meta(max_length=3)] = []


class Line(Struct, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)]


class DebateRequest(Struct, forbid_unknown_fields=True):
    """`topic` or `messages`, not both. Times in seconds, money in USD; `mode` is how the answer comes,
    `on_disconnect` what happens when the client of a `sync` or `stream` one leaves.
    """

    participants: Annotated[list[Participant], Meta(min_length=2, max_length=MOST_PARTICIPANTS)]
    topic: Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)] | None = None
    messages: Annotated[list[Line], Meta(min_length=1, max_length=100)] | None = None
    rounds: Annotated[int, Meta(ge=1, le=10)] = 3
    style: Style = "collaborative"
    consensus_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.8
    budget_usd: Annotated[float, Meta(gt=0, le=10_000)] | None = None
    deadline_seconds: Annotated[float, Meta(ge=1, le=3_600)] | None = None
    turn_seconds: Annotated[float, Meta(ge=1, le=600)] = 60.0
    max_tokens: Annotated[int, Meta(ge=1, le=32_768)] = 1024
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    judge: Choice | None = None
    embedding: Choice | None = None
    mode: Literal["sync", "async", "stream"] = "sync"
    on_disconnect: Literal["cancel", "continue"] = "cancel"


DECODER: Final = msgspec.json.Decoder(DebateRequest)
LONGEST: Final = 3_600.0


def parse(
    asked: DebateRequest,
    *,
    knows: Callable[[str], bool],
    judge: str,
    embedding: str,
    request_seconds: float,
) -> Spec:
    """A spec whose models exist. `judge` and `embedding` are the service's own, `request_seconds` is how
    long a request may take here. Raises `ApiError` 400 with `param`.
    """
    if (asked.topic is None) == (asked.messages is None):
        raise ApiError(400, "Give either 'topic' or 'messages'.", param="topic")
    said = [Line("user", asked.topic)] if asked.topic is not None else asked.messages or []
    if all(one.role != "user" for one in said):
        raise ApiError(400, "'messages' needs one from the user.", param="messages")
    if sum([len(one.content) for one in said]) > MOST_CHARACTERS:
        raise ApiError(400, f"'messages' are over {MOST_CHARACTERS:,} characters together.", param="messages")
    longest = LONGEST if asked.mode == "async" else min(LONGEST, request_seconds)
    if asked.deadline_seconds is not None and asked.deadline_seconds > longest:
        raise ApiError(
            400,
            f"A request may take {longest:g} s here; set 'mode' to 'async' for a longer debate.",
            param="deadline_seconds",
        )
    spec = Spec(
        messages=tuple([Said(one.role, one.content) for one in said]),
        debaters=tuple([_debater(number, one) for number, one in enumerate(asked.participants, 1)]),
        rounds=asked.rounds,
        style=asked.style,
        threshold=asked.consensus_threshold,
        budget_usd=asked.budget_usd,
        deadline_seconds=asked.deadline_seconds or min(longest, 300.0),
        turn_seconds=asked.turn_seconds,
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        judge=asked.judge.target if asked.judge is not None else judge,
        embedding=asked.embedding.target if asked.embedding is not None else embedding,
    )
    _check_names(spec)
    _check_models(asked, knows)
    return spec


def _debater(number: int, one: Participant) -> Debater:
    targets = tuple(dict.fromkeys([one.target, *[other.target for other in one.fallback]]))
    return Debater(f"p{number}", one.name or f"participant {number}", one.role, targets)


def _check_names(spec: Spec) -> None:
    seen: set[str] = set()
    for index, one in enumerate(spec.debaters):
        if one.name in seen:
            raise ApiError(400, "Two participants have this name.", param=f"participants[{index}].name")
        seen.add(one.name)


def _check_models(asked: DebateRequest, knows: Callable[[str], bool]) -> None:
    wanted: list[tuple[str, Choice]] = []
    for index, one in enumerate(asked.participants):
        wanted.append((f"participants[{index}].model", one))
        for place, other in enumerate(one.fallback):
            wanted.append((f"participants[{index}].fallback[{place}].model", other))
    wanted += [
        (f"{name}.model", one)
        for name, one in (("judge", asked.judge), ("embedding", asked.embedding))
        if one is not None
    ]
    for param, choice in wanted:
        if not knows(choice.target):
            raise ApiError(400, f"The model '{choice.target[:100]}' does not exist here.", param=param)
