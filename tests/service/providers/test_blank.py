"""Texts of nothing but white space: Claude refuses a request that holds one, wherever it is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service.providers import anthropic_wire, bedrock_wire
from service.providers.base import CanonicalRequest, Message, Text, ToolCall, ToolResult

Render = Callable[[CanonicalRequest], dict[str, Any]]

REQUEST = CanonicalRequest(
    model="claude-sonnet-4-5",
    messages=(
        Message("system", (Text(" "), Text("be brief"))),
        Message("user", (Text("make a folder"), Text("\n"))),
        Message("assistant", (Text(" "), ToolCall("t", "mkdir", "{}"))),
        Message("user", (ToolResult("t", (Text(""), Text("  "))),)),
    ),
)


def texts(value: Any) -> list[str]:
    """Every text in a body."""
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    if not isinstance(value, dict):
        return []
    return [text for key, one in value.items() for text in ([one] if key == "text" else texts(one))]


@pytest.mark.parametrize(
    "render",
    [lambda request: anthropic_wire.render(request, stream=False), bedrock_wire.render],
    ids=["anthropic", "bedrock"],
)
def test_blank_texts_are_not_sent(render: Render) -> None:
    body = render(REQUEST)
    assert texts(body) == ["be brief", "make a folder"] or texts(body) == ["make a folder", "be brief"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
