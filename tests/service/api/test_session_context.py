"""Which turns of a session the model reads: whole ones, the newest, from one of the user's on."""

from __future__ import annotations

from service.api.sessions import DEFAULT_CONTEXT, Turn, fitting
from service.providers.base import Message, Text
from service.storage.conversations import Conversation


def kept(room: int, *texts: str, system: str = "") -> list[str]:
    """First letters of what fits into `room` tokens of a model that nobody knows; the last text is new."""
    *before, new = texts
    turns = [Message("assistant" if n % 2 else "user", (Text(text),)) for n, text in enumerate(before)]
    session = Conversation("s", "unknown", system, 0.0, 60, turns)
    found = fitting(session, Turn(new, max_tokens=DEFAULT_CONTEXT - room))
    return [part.text[0] for one in found for part in one.parts if isinstance(part, Text)]


# 104 tokens each, with what a message costs besides its text
TURNS = ("a" * 400, "b" * 400, "c" * 400, "d" * 400, "e" * 400)


def test_the_oldest_turns_leave_first_and_the_rest_begins_with_the_user() -> None:
    assert kept(1000, *TURNS) == ["a", "b", "c", "d", "e"]
    assert kept(420, *TURNS) == ["c", "d", "e"]  # four fit, but an assistant's turn cannot be the first
    assert kept(320, *TURNS) == ["c", "d", "e"]
    assert kept(220, *TURNS) == ["e"]


def test_the_system_prompt_takes_room_too() -> None:
    assert kept(320, *TURNS[:3]) == ["a", "b", "c"]
    assert kept(320, *TURNS[:3], system="s" * 400) == ["c"]
