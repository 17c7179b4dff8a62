"""What clients see: OpenAI's and Anthropic's formats, sessions, and the way an answer ends."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

OPENAI: Final = "tests/service/api/test_openai_format.py::"
ANTHROPIC: Final = "tests/service/api/test_anthropic_format.py::"
CHAT: Final = "tests/service/api/test_chat.py::"
MESSAGES: Final = "tests/service/api/test_messages_endpoint.py::"
CONTEXT: Final = "tests/service/api/test_session_context.py::"
SESSIONS: Final = "tests/service/api/test_sessions.py::"
PROTOCOL: Final = "tests/service/api/test_protocol.py::"

ROWS: Final = (
    Mutation(
        "chat: tools are understood",
        "service/api/openai_request.py",
        "parts.append(ToolCall(call.id, call.function.name, call.function.arguments))",
        "parts.append(Text(call.function.arguments))",
        (OPENAI + "test_a_conversation_with_tools_and_images_is_understood",),
    ),
    Mutation(
        "chat: max_completion_tokens holds",
        "service/api/openai_request.py",
        "request.max_completion_tokens or request.max_tokens",
        "request.max_tokens",
        (OPENAI + "test_a_conversation_with_tools_and_images_is_understood",),
    ),
    Mutation(
        "chat: what would change the answer is refused, not ignored",
        "service/api/openai_request.py",
        "    if request.logprobs:\n",
        "    if False:\n",
        (OPENAI + "test_what_does_not_fit_is_named",),
    ),
    Mutation(
        "chat: an answer of tool calls alone has null content",
        "service/api/openai_answer.py",
        '"".join(text) if text or not calls else None',
        '"".join(text)',
        (OPENAI + "test_an_answer_of_tool_calls_alone_has_null_content",),
    ),
    Mutation(
        "chat: cached tokens are told",
        "service/api/openai_answer.py",
        "PromptDetails(used.cache_read_tokens)",
        "PromptDetails(0)",
        (OPENAI + "test_a_whole_answer_is_what_the_sdk_expects",),
    ),
    Mutation(
        "chat: usage comes at the end of a stream for who asked",
        "service/api/chat.py",
        "        pipeline, options = self._pipeline, asked.stream_options\n",
        "        pipeline, options = self._pipeline, None\n",
        (CHAT + "test_the_official_client_streams",),
    ),
    Mutation(
        "chat: a broken stream is not called done",
        "service/api/streaming.py",
        "await exchange.finish((cut or broken)(exchange.describe_failure(error), exchange))",
        "await exchange.finish(done)",
        (CHAT + "test_a_stream_that_breaks_ends_with_an_error_and_is_not_called_done",),
    ),
    Mutation(
        "chat: a provider's failure keeps its meaning",
        "service/api/edge.py",
        "            error.http_status,",
        "            502,",
        (CHAT + "test_provider_failures_keep_their_meaning",),
    ),
    Mutation(
        "a client that goes away ends the call upstream",
        "service/api/pipeline.py",
        "        exchange.watch_disconnect()\n",
        "",
        (CHAT + "test_a_client_that_goes_away_ends_the_upstream_call_at_once",),
    ),
    Mutation(
        "answers say who gave them",
        "service/api/call.py",
        '(b"x-superagent-provider", (ctx.provider or "").encode()),',
        '(b"x-superagent-provider", b""),',
        (CHAT + "test_the_official_client_completes",),
    ),
    Mutation(
        "a key needs the permission of its endpoint",
        "service/api/gate.py",
        "if permission and permission not in principal.permissions and not principal.may(permission):",
        "if False:",
        (CHAT + "test_a_key_without_the_permission_is_403",),
    ),
    Mutation(
        "Anthropic: cached tokens are counted apart",
        "service/api/anthropic_answer.py",
        '"input_tokens": max(0, used.input_tokens - read - write),',
        '"input_tokens": used.input_tokens,',
        (ANTHROPIC + "test_the_official_client_reads_the_same_from_a_whole_and_a_streamed_answer",),
    ),
    Mutation(
        "Anthropic: each tool call of a stream is a block of its own",
        "service/api/anthropic_answer.py",
        "            self._calls[event.index] = self._block\n",
        "",
        (ANTHROPIC + "test_tool_calls_whose_pieces_mix_stay_apart",),
    ),
    Mutation(
        "Anthropic: a stop sequence is named",
        "service/api/anthropic_answer.py",
        '"stop_reason": STOP_REASON[end.finish], "stop_sequence": end.stop_sequence}',
        '"stop_reason": STOP_REASON[end.finish], "stop_sequence": None}',
        (ANTHROPIC + "test_a_stop_sequence_is_named",),
    ),
    Mutation(
        "Anthropic: a thinking budget must be less than max_tokens",
        "service/api/anthropic_messages.py",
        "if thinking.budget_tokens >= request.max_tokens:",
        "if False:",
        (ANTHROPIC + "test_a_wrong_field_is_named",),
    ),
    Mutation(
        "Anthropic: a cut stream is an error event",
        "service/api/anthropic_answer.py",
        'return b"event: error\\ndata: "',
        'return b"event: ping\\ndata: "',
        (ANTHROPIC + "test_a_cut_stream_is_an_error_for_the_official_client",),
    ),
    Mutation(
        "Anthropic: errors have its types",
        "service/api/anthropic_answer.py",
        '    503: "overloaded_error",\n',
        "",
        (ANTHROPIC + "test_errors_are_what_the_official_client_expects",),
    ),
    Mutation(
        "embeddings in base64 are what the official client asks for",
        "service/api/embeddings.py",
        'array.array("f", vector)',
        'array.array("d", vector)',
        (MESSAGES + "test_models_completions_and_embeddings",),
    ),
    Mutation(
        "completions stream text",
        "service/api/completions.py",
        "return self._text(event.text)",
        'return self._text("")',
        (MESSAGES + "test_models_completions_and_embeddings",),
    ),
    Mutation(
        "embeddings are where OpenAI has them",
        "service/api/routes.py",
        '"/v1/embeddings"',
        '"/v1/embedding"',
        (MESSAGES + "test_models_completions_and_embeddings",),
    ),
    Mutation(
        "pipelined requests are answered one after the other",
        "service/api/protocol.py",
        "exchange = self._at_work = waiting.popleft()",
        "exchange = self._at_work = waiting.pop()",
        (PROTOCOL + "test_pipelined_requests_are_answered_in_their_order",),
    ),
    # --- sessions
    Mutation(
        "sessions: the oldest turns leave when the context is full",
        "service/api/sessions.py",
        "        if left < 0:\n            break\n",
        "",
        (CONTEXT + "test_the_oldest_turns_leave_first_and_the_rest_begins_with_the_user",),
    ),
    Mutation(
        "sessions: what is kept begins with the user",
        "service/api/sessions.py",
        'while start < len(messages) and messages[start].role != "user":',
        "while False:",
        (CONTEXT + "test_the_oldest_turns_leave_first_and_the_rest_begins_with_the_user",),
    ),
    Mutation(
        "sessions: the system prompt takes room",
        "service/api/sessions.py",
        "    left -= sum([_tokens(one) for one in _system(session)])\n",
        "",
        (CONTEXT + "test_the_system_prompt_takes_room_too",),
    ),
    Mutation(
        "sessions: nobody reaches another's",
        "service/storage/conversations.py",
        ':s:{identity}"\n\n\ndef _turn',
        ':s:{identity}".replace(account, "all")\n\n\ndef _turn',
        (SESSIONS + "test_nobody_reaches_anothers_session",),
    ),
    Mutation(
        "sessions: one turn at a time",
        "service/storage/conversations.py",
        "ARGV[1], 'NX', 'PX', ARGV[2])",
        "ARGV[1], 'PX', ARGV[2])",
        (SESSIONS + "test_a_second_turn_at_once_is_409_and_costs_nothing",),
    ),
    Mutation(
        "sessions: a turn whose claim lapsed swallows no other",
        "service/storage/conversations.py",
        "if held ~= ARGV[1] then return 0 end\n",
        "",
        ("tests/service/storage/test_conversations.py::test_a_turn_whose_claim_lapsed_swallows_no_other",),
    ),
    Mutation(
        "sessions: they end by themselves",
        "service/storage/conversations.py",
        'pack(("EXPIRE", key, ttl))',
        'pack(("EXISTS", key))',
        (SESSIONS + "test_a_session_ends_after_its_time_and_each_turn_begins_it_anew",),
    ),
    Mutation(
        "sessions: each turn gives one its whole life again",
        "service/storage/conversations.py",
        "redis.call('EXPIRE', KEYS[1], ARGV[4])\n",
        "",
        (SESSIONS + "test_a_session_ends_after_its_time_and_each_turn_begins_it_anew",),
    ),
)  # fmt: skip
