"""Agreement, quality and result: pure functions with known answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.debates.agreement import by_claims, by_vectors, by_words, centre
from service.debates.calls import Calls
from service.debates.quality import PARTS
from service.debates.result import result
from service.debates.spec import Debater, Said, Spec, Step, Steps
from service.limits.admission import Admission
from service.limits.limiter import Plans, Rates
from service.limits.local import LocalBuckets
from service.providers.base import Usage
from service.providers.config import ProviderConfig, ProvidersConfig
from service.routing.router import Router

NAMES = ["p1", "p2", "p3"]


def claims(*stances: list[str]) -> str:
    return json.dumps({"claims": [{"claim": "c", "stances": one} for one in stances]})


def test_claims_count_pairs_of_stances() -> None:
    found = by_claims(NAMES, claims(["agree", "agree", "disagree"], ["agree", "silent", "silent"]))
    assert found.pairs == {"p1 p2": 0.75, "p1 p3": 0.25, "p2 p3": 0.0}
    assert found.level == pytest.approx(1 / 3)


def test_a_judge_may_wrap_its_json_in_words() -> None:
    assert by_claims(NAMES, f"Here it is:\n```json\n{claims(['agree'] * 3)}\n```").level == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no json",
        "{}",
        '{"claims": []}',
        claims(["agree"]),
        claims(["maybe"] * 3),
        '{"claims": ["\ud800"]}',
    ],
)
def test_a_judges_answer_that_cannot_be_used_is_a_value_error(answer: str) -> None:
    with pytest.raises(ValueError, match="judge"):
        by_claims(NAMES, answer)


def test_vectors_that_do_not_fit_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        by_vectors(NAMES, [[1.0], [1.0]])
    with pytest.raises(ValueError, match="do not fit"):
        by_vectors(NAMES[:2], [[1.0], [1.0, 2.0]])


def test_words_that_only_glue_do_not_make_agreement() -> None:
    assert by_words(NAMES[:2], ["the cat is on the mat", "the dog is in the yard"]).level == 0
    assert by_words(NAMES[:2], ["Cats purr.", "cats PURR"]).level == 1


@given(st.lists(st.text(max_size=60), min_size=2, max_size=5))
def test_agreement_is_symmetric_bounded_and_1_with_itself(texts: list[str]) -> None:
    names = [f"p{number}" for number in range(1, len(texts) + 1)]
    found = by_words(names, texts)
    assert 0 <= found.level <= 1
    for one in names:
        assert found.between(one, one) == 1
        for other in names:
            assert found.between(one, other) == found.between(other, one)
    assert by_words(names, [texts[0]] * len(texts)).level == 1


def test_the_centre_is_whom_the_others_agree_with_most() -> None:
    assert centre(by_words(NAMES, ["red", "red blue", "blue"]), NAMES) == "p2"


def test_the_weights_of_quality_are_1_together() -> None:
    assert sum(part.weight for part in PARTS) == pytest.approx(1)


def spec(threshold: float = 0.5) -> Spec:
    debaters = tuple([Debater(name, name, "", ("m",)) for name in NAMES])
    return Spec(
        messages=(Said("user", "which colour wins"),), debaters=debaters, rounds=2, style="critique",
        threshold=threshold, budget_usd=None, deadline_seconds=10, turn_seconds=5, max_tokens=10,
        temperature=None,
    )  # fmt: skip


def steps(texts: dict[str, str]) -> Steps:
    found = {
        name: Step(id=name, kind="turn", round=int(name[1]), participant=name.partition(".")[2], text=text)
        for name, text in texts.items()
    }
    measured = by_words(NAMES, list(texts.values())[:3])
    data = {"method": "lexical", "level": measured.level, "pairs": measured.pairs}
    found["r1.agreement"] = Step(id="r1.agreement", kind="agreement", round=1, data=data)
    return found


def test_the_minority_is_reported_with_its_words() -> None:
    told = result(
        spec(), steps({"r1.p1": "colour red", "r1.p2": "colour red", "r1.p3": "blue sky"}), "rounds"
    )
    assert told["answer"]["text"] == "colour red"
    assert [one["turn"] for one in told["answer"]["citations"]] == ["r1.p1", "r1.p2"]
    assert [(one["participant"], one["text"]) for one in told["minority_report"]] == [("p3", "blue sky")]
    parts = {one["name"]: one["value"] for one in told["quality"]["components"]}
    assert parts == {
        "consensus": pytest.approx(1 / 3, abs=1e-5), "support": pytest.approx(2 / 3, abs=1e-5),
        "participation": 1.0, "grounding": 1.0, "relevance": 0.5,
    }  # fmt: skip


def test_an_unfinished_round_does_not_hide_the_last_measured_one() -> None:
    made = steps({"r1.p1": "red", "r1.p2": "red", "r1.p3": "red"})
    made["r2.p1"] = Step(id="r2.p1", kind="turn", round=2, participant="p1", text="green")
    told = result(spec(), made, "deadline")
    assert (told["answer"]["text"], told["consensus"]["round"]) == ("red", 1)


def test_citations_of_turns_that_do_not_exist_are_dropped() -> None:
    made = steps({"r1.p1": "red", "r1.p2": "red", "r1.p3": "red"})
    made["final"] = Step(
        id="final", kind="final", round=1, text="Red [r1.p2], surely [r7.p9].", model="judge"
    )
    answer = result(spec(), made, "consensus")["answer"]
    assert answer["method"] == "synthesis"
    assert [one["turn"] for one in answer["citations"]] == ["r1.p2"]


@pytest.mark.parametrize("name", ["echo", "own/echo", "echo;tokens=5", "best"])
def test_a_call_is_estimated_at_the_price_it_is_charged_at(name: str) -> None:
    """Whatever name it goes by; of an alias, the dearest that may answer."""
    prices = {"echo": {"input": 1.0, "output": 1.0}, "lorem": {"input": 0.5, "output": 0.5}}
    own = ProviderConfig(name="own", kind="simulator", models=("echo", "lorem"), prices=prices)
    router = Router(ProvidersConfig(providers=(own,), aliases={"best": ("own/lorem", "own/echo")}))
    calls = Calls(router, Plans(Rates()), Admission(None, LocalBuckets(), _nothing_spent))
    assert calls.price(name, Usage(1_000_000)) == 1.0


async def _nothing_spent(_: str) -> float:
    return 0.0
