"""Where servers that speak OpenAI's format differ from each other: one row each.

Sources, read 2026-11: platform.openai.com/docs/api-reference/chat, api-docs.deepseek.com (chat
completion, JSON output, thinking mode), alibabacloud.com/help/en/model-studio
(compatibility-of-openai-with-dashscope, deep-thinking), inference-docs.cerebras.ai (openai
compatibility), docs.vllm.ai (OpenAI-compatible server), ollama docs/openai.md, llama.cpp tools/server.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Flavour(Struct, frozen=True):
    """`dropped`: request fields that this server refuses or knows nothing of."""

    base_url: str = ""
    max_tokens_field: str = "max_tokens"
    stream_usage: bool = True  # knows stream_options.include_usage
    json_schema: bool = True
    content_lists: bool = True  # text content may be a list of parts
    sends_back_reasoning: bool = False  # wants reasoning_content of tool-calling turns again
    thinking_switch: bool = False  # enable_thinking and thinking_budget
    dropped: frozenset[str] = frozenset({"top_k"})


FLAVOURS: Final[dict[str, Flavour]] = {
    "openai": Flavour("https://api.openai.com/v1", max_tokens_field="max_completion_tokens"),
    "deepseek": Flavour(
        "https://api.deepseek.com",
        json_schema=False,
        content_lists=False,
        sends_back_reasoning=True,
        dropped=frozenset({"top_k", "seed", "parallel_tool_calls", "user", "reasoning_effort"}),
    ),
    "qwen": Flavour(
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        thinking_switch=True,
        dropped=frozenset({"user", "frequency_penalty", "reasoning_effort"}),
    ),
    "cerebras": Flavour(
        "https://api.cerebras.ai/v1",
        max_tokens_field="max_completion_tokens",
        content_lists=False,
        dropped=frozenset({"top_k", "frequency_penalty", "presence_penalty"}),
    ),
    "ollama": Flavour("http://127.0.0.1:11434/v1", dropped=frozenset({"top_k", "parallel_tool_calls"})),
    "vllm": Flavour("http://127.0.0.1:8000/v1", dropped=frozenset()),
    "llamacpp": Flavour("http://127.0.0.1:8080/v1", dropped=frozenset()),
    "generic": Flavour(),
}
