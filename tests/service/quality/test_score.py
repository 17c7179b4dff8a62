"""What the score of an answer sees, part by part; and that it is always a number from 0 to 1."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    FinishReason,
    Message,
    ResponseFormat,
    Text,
    ToolCall,
    Usage,
)
from service.quality.score import MOST_CHARACTERS, PARTS, parts, score

QUESTION = "Which harbour does the northern ferry leave from in winter?"
GOOD = "In winter the northern ferry leaves from the old harbour, below the lighthouse."


def asked(text: str = QUESTION, **fields: Any) -> CanonicalRequest:
    return CanonicalRequest(model="m", messages=(Message("user", (Text(text),)),), **fields)


def said(text: str, finish: FinishReason = "stop") -> CanonicalResponse:
    return CanonicalResponse(id="x", model="m", parts=(Text(text),), finish=finish, usage=Usage())


def part(name: str, answer: CanonicalResponse, request: CanonicalRequest | None = None) -> float:
    found = parts(request or asked(), answer)
    assert found is not None
    return found[name]


def test_a_good_answer_scores_high_and_each_fault_costs_its_part() -> None:
    good = score(asked(), said(GOOD))
    assert good is not None and good > 0.95
    for name, faulty in {
        "whole": said(GOOD, "length"),
        "responsive": said("I'm sorry, but I can't help with that."),
        "relevant": said("Bananas are rich in potassium and grow upside down on tall plants."),
        "varied": said("The ferry. " * 40),
    }.items():
        assert part(name, faulty) < part(name, said(GOOD)), name
        worse = score(asked(), faulty)
        assert worse is not None and worse < good, name


@pytest.mark.parametrize(
    "refusal",
    [
        "I cannot answer this.",
        "I'm sorry, but I can't.",
        "As an AI, I am unable to do that.",
        "Sorry, I won't say.",
        "Unfortunately I’m not able to help.",
        "Sorry, can't do that.",
    ],
)
def test_refusals_are_recognised(refusal: str) -> None:
    assert part("responsive", said(refusal)) == 0


@pytest.mark.parametrize("answer", ["Cannons stood at the harbour.", "Can't be: it leaves daily.", "I can."])
def test_what_only_resembles_a_refusal_is_none(answer: str) -> None:
    assert part("responsive", said(answer)) == 1


def test_json_that_was_asked_for_must_be_json() -> None:
    wants = asked(response_format=ResponseFormat("json_object"))
    assert part("whole", said('{"harbour": "old"}'), wants) == 1
    assert part("whole", said("the old one"), wants) == 0
    long = said('{"a": "' + "x" * MOST_CHARACTERS + '"}')
    assert part("whole", long, wants) == 1


def test_an_answer_of_tool_calls_alone_is_not_scored() -> None:
    calls = CanonicalResponse(
        id="x", model="m", parts=(ToolCall("c", "f", "{}"),), finish="tool_calls", usage=Usage()
    )
    assert score(asked(), calls) is None


def test_the_weights_are_1_together() -> None:
    assert sum(one.weight for one in PARTS) == pytest.approx(1)


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from(get_args(FinishReason)), st.booleans())
def test_any_texts_give_a_number_from_0_to_1(
    question: str, answer: str, finish: FinishReason, wants_json: bool
) -> None:
    request = asked(question, response_format=ResponseFormat("json_object") if wants_json else None)
    found = score(request, said(answer, finish))
    assert found is None or 0 <= found <= 1
