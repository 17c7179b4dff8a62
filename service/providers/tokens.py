"""Token counts where no provider has told yet: estimates, marked as such wherever they are used."""

from __future__ import annotations

from typing import Final

from service.providers.base import CanonicalRequest, Image, Part, Text, Thinking, ToolCall, ToolResult

# English text has about 4 characters a token with every current tokenizer (OpenAI's and Anthropic's
# help pages say so); UTF-8 bytes keep the estimate sane for scripts with a token per character.
BYTES_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4
TOKENS_PER_IMAGE: Final = 1_000


def estimate_text(text: str) -> int:
    """Tokens of a text, rounded up; 0 only for the empty one."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def estimate_request(request: CanonicalRequest) -> int:
    """Input tokens of a request."""
    total = 0
    for message in request.messages:
        total += TOKENS_PER_MESSAGE
        for part in message.parts:
            if type(part) is Text and part.text.isascii():
                total += -(-len(part.text) // BYTES_PER_TOKEN)
            else:
                total += _part(part)
    for tool in request.tools:
        total += estimate_text(tool.name + tool.description) + estimate_text(str(tool.parameters or ""))
    return total


def _part(part: Part) -> int:
    if isinstance(part, Text | Thinking):
        return estimate_text(part.text)
    if isinstance(part, Image):
        return TOKENS_PER_IMAGE
    if isinstance(part, ToolCall):
        return estimate_text(part.name) + estimate_text(part.arguments)
    assert isinstance(part, ToolResult)
    return sum([_part(inner) for inner in part.parts])
