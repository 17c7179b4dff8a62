"""Debates as clients see them."""

from __future__ import annotations

from typing import Any

from service.debates.records import Record
from service.debates.spec import Step


def whole(record: Record) -> dict[str, Any]:
    """Everything: turns, agreement per round, result, cost."""
    steps = sorted(record.steps.values(), key=lambda one: (one.round, one.at, one.id))
    return {
        **brief(record),
        "max_tokens": record.spec.max_tokens,
        "budget_usd": record.spec.budget_usd,
        "messages": [{"role": one.role, "content": one.content} for one in record.spec.messages],
        "participants": [
            {
                "id": one.id,
                "name": one.name,
                "role": one.role,
                "models": list(one.targets),
                "state": _state([step for step in steps if step.participant == one.id]),
            }
            for one in record.spec.debaters
        ],
        "turns": [turn(one) for one in steps if one.kind == "turn"],
        "agreement": [{"round": one.round, **one.data} for one in steps if one.kind == "agreement"],
        "other_calls": [turn(one) for one in steps if one.kind in ("judge", "embedding", "final")],
        "usage": {
            "calls": sum([one.attempts for one in steps]),
            "input_tokens": sum([one.input_tokens for one in steps]),
            "output_tokens": sum([one.output_tokens for one in steps]),
            "cost_usd": round(sum([one.cost_usd for one in steps]), 9),
        },
    }


def brief(record: Record) -> dict[str, Any]:
    """A debate in a list: its result, but not its turns."""
    result = record.result or {}
    return {
        "id": record.id,
        "object": "debate",
        "status": record.status,
        "question": record.spec.question,
        "style": record.spec.style,
        "rounds": record.spec.rounds,
        "created_at": record.created_at.isoformat(),
        "deadline": record.deadline.isoformat(),
        "finished_at": record.finished_at.isoformat() if record.finished_at is not None else None,
        "resumed": max(0, record.epoch - 1) if record.status != "cancelled" else max(0, record.epoch - 2),
        "stopped": result.get("stopped"),
        "error": result.get("error"),
        "answer": result.get("answer"),
        "minority_report": result.get("minority_report", []),
        "consensus": result.get("consensus"),
        "quality": result.get("quality"),
    }


def turn(step: Step) -> dict[str, Any]:
    """One paid step with what it cost."""
    return {
        "id": step.id,
        "kind": step.kind,
        "round": step.round,
        "participant": step.participant or None,
        "status": step.status,
        "provider": step.provider,
        "model": step.model,
        "attempts": step.attempts,
        "text": step.text,
        "error": step.error or None,
        "input_tokens": step.input_tokens,
        "output_tokens": step.output_tokens,
        "cost_usd": step.cost_usd,
        "seconds": round(step.seconds, 6),
    }


def event(step: Step) -> tuple[str, dict[str, Any]] | None:
    """A stored step as clients that follow hear of it; `None` for one that they do not."""
    if step.kind == "turn":
        return ("turn.completed" if step.status == "ok" else "turn.absent"), turn(step)
    if step.kind == "agreement":
        return "round.completed", {"round": step.round, "agreement": step.data}
    return None


def _state(steps: list[Step]) -> str:
    """`present` when the last turn was given, `absent` when it was not, `waiting` before the first."""
    if not steps:
        return "waiting"
    return "present" if steps[-1].status == "ok" else "absent"
