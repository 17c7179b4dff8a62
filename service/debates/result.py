"""What a debate ends with: answer, minority report, citations, quality. Pure functions over its steps."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from service.debates.agreement import Agreement, centre, content_words
from service.debates.quality import Evidence, score
from service.debates.spec import Spec, Step, Steps, concluding_round, turns_of

_CITED: Final = re.compile(r"\[(r\d+\.p\d+)\]")


def agreement_of(steps: Steps, number: int) -> Agreement | None:
    """What was measured after a round."""
    step = steps.get(f"r{number}.agreement")
    return msgspec.convert(step.data, Agreement) if step is not None else None


def result(spec: Spec, steps: Steps, stopped: str) -> dict[str, Any]:
    """The whole result; `stopped` says why the debate ended. Somebody must have spoken."""
    number = concluding_round(steps)
    turns = turns_of(steps, number)
    names = [one.participant for one in turns]
    agreement = agreement_of(steps, number) or Agreement(method="lexical", level=0.0, pairs={})
    chosen = centre(agreement, names)
    with_it = [one for one in turns if agreement.between(chosen, one.participant) >= spec.threshold]
    answer = _answer(steps, turns, with_it, chosen)
    known = {one.id for one in steps.values() if one.kind == "turn" and one.status == "ok"}
    cited = [steps[one["turn"]] for one in answer["citations"] if one["turn"] in known]
    begun = max([one.round for one in steps.values() if one.kind == "turn"])
    given = sum([len(turns_of(steps, one)) for one in range(1, begun + 1)])
    evidence = Evidence(
        consensus=agreement.level,
        spoken=given / (len(spec.debaters) * begun),
        support=len(with_it) / len(spec.debaters),
        answer=content_words(answer["text"]),
        cited=content_words("\n".join([one.text for one in cited])),
        question=content_words(spec.question),
    )
    return {
        "stopped": stopped,
        "answer": answer,
        "minority_report": [
            {
                "participant": one.participant,
                "turn": one.id,
                "agreement": agreement.between(chosen, one.participant),
                "text": one.text,
            }
            for one in turns
            if one not in with_it
        ],
        "consensus": {
            "level": round(agreement.level, 6),
            "threshold": spec.threshold,
            "reached": len(turns) > 1 and agreement.level >= spec.threshold,
            "method": agreement.method if len(turns) > 1 else None,
            "round": number,
        },
        "quality": score(evidence),
    }


def _answer(steps: Steps, turns: list[Step], with_it: list[Step], chosen: str) -> dict[str, Any]:
    """Written by the judge when there is one; else the central position, word for word."""
    final = steps.get("final")
    if final is not None and final.status == "ok":
        known = {one.id: one for one in steps.values() if one.kind == "turn" and one.status == "ok"}
        named = [one for one in dict.fromkeys(_CITED.findall(final.text)) if one in known]
        return {
            "text": final.text,
            "method": "synthesis",
            "by": final.model,
            "citations": [_cite(known[one], "named") for one in named]
            or [_cite(one, "supporting") for one in with_it],
        }
    own = next(one for one in turns if one.participant == chosen)
    others = [one for one in with_it if one is not own]
    return {
        "text": own.text,
        "method": "selection",
        "by": own.participant,
        "citations": [_cite(own, "quoted"), *[_cite(one, "supporting") for one in others]],
    }


def _cite(turn: Step, how: str) -> dict[str, Any]:
    return {"turn": turn.id, "participant": turn.participant, "how": how}
