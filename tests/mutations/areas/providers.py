"""Adapters: what is asked, what is counted, how it ends, what an error means, how long is waited."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

OPENAI: Final = "tests/service/providers/test_openai_compatible.py::"
ANTHROPIC: Final = "tests/service/providers/test_anthropic.py::"
GEMINI: Final = "tests/service/providers/test_gemini.py::"
BEDROCK: Final = "tests/service/providers/test_bedrock.py::"
CATALOG: Final = "tests/service/providers/test_catalog.py::"
TIMEOUTS: Final = "tests/service/providers/test_timeouts.py::"
TLS: Final = "tests/service/upstream/test_tls.py::"

ROWS: Final = (
    # --- OpenAI and its relatives
    Mutation(
        "OpenAI: tools reach the server",
        "service/providers/openai_wire.py",
        '        body["tools"] = [_tool(tool) for tool in request.tools]\n',
        '        body["tools"] = []\n',
        (OPENAI + "test_tools_there_and_back",),
    ),
    Mutation(
        "OpenAI: a tool's result names its call",
        "service/providers/openai_wire.py",
        '"tool_call_id": part.call_id',
        '"tool_call_id": part.name',
        (OPENAI + "test_tools_there_and_back",),
    ),
    Mutation(
        "OpenAI: streams are asked for their usage",
        "service/providers/openai_wire.py",
        'body["stream_options"] = {"include_usage": True}',
        'body["stream_options"] = {"include_usage": False}',
        (OPENAI + "test_a_streamed_answer_with_its_usage",),
    ),
    Mutation(
        "OpenAI: cached tokens are told apart",
        "service/providers/openai_wire.py",
        "asked.cached_tokens or self.prompt_cache_hit_tokens or 0,",
        "0,",
        (OPENAI + "test_a_whole_answer_with_its_usage",),
    ),
    Mutation(
        "OpenAI: usage that nobody told is estimated and says so",
        "service/providers/openai_compatible.py",
        "return Usage(estimate_request(self._request), -(-self.written // 4), estimated=True)",
        "return Usage()",
        (OPENAI + "test_usage_is_estimated_and_says_so_when_the_server_tells_none",),
    ),
    Mutation(
        "OpenAI: an answer cut at its length says so",
        "service/providers/openai_wire.py",
        '    "length": "length",',
        '    "length": "stop",',
        (OPENAI + "test_json_mode_and_length",),
    ),
    Mutation(
        "OpenAI: stop sequences and seeds reach the server",
        "service/providers/openai_wire.py",
        '        body["seed"] = request.seed\n',
        "        pass\n",
        (OPENAI + "test_every_field_reaches_a_server_that_refuses_unknown_ones",),
    ),
    Mutation(
        "OpenAI: a stream without its end is an error",
        "service/providers/openai_compatible.py",
        "        if not state.done and state.finish is None:\n            raise self._upstream.cut()\n",
        "",
        (OPENAI + "test_a_stream_without_its_end_is_an_error_and_never_a_clean_end[False]",),
    ),
    Mutation(
        "OpenAI: a prompt that is too long is told from a bad request",
        "service/providers/openai_errors.py",
        '        kind = "context_too_long"\n',
        "        pass\n",
        (OPENAI + "test_errors_find_their_kind",),
    ),
    Mutation(
        "OpenAI: a spent quota is no rate limit",
        "service/providers/openai_errors.py",
        '    "insufficient_quota": "quota",\n',
        "",
        (OPENAI + "test_errors_find_their_kind",),
    ),
    Mutation(
        "OpenAI: embeddings come back in the order asked",
        "service/providers/openai_compatible.py",
        "sorted(answer.data, key=lambda vector: vector.index)",
        "answer.data",
        (OPENAI + "test_embeddings_come_back_in_the_order_asked",),
    ),
    # --- all of them
    Mutation(
        "the upstream's retry-after is read",
        "service/providers/http_client.py",
        "            error.retry_after = retry_after(headers)\n",
        "            pass\n",
        (OPENAI + "test_errors_find_their_kind[False-503-body12-overloaded]", ANTHROPIC + "test_errors_find_their_kind"),
    ),
    Mutation(
        "our key is in no error, also when the server quotes it",
        "service/providers/http_client.py",
        "            message = without(self._secret, message)\n",
        "            pass\n",
        (OPENAI + "test_our_key_is_in_no_error_even_when_the_server_quotes_it",),
    ),
    Mutation(
        "a refused key is told without the server's words",
        "service/providers/http_client.py",
        '            message = "the provider refused our credentials or their permissions"\n',
        "            pass\n",
        (OPENAI + "test_our_key_is_in_no_error_even_when_the_server_quotes_it",),
    ),
    Mutation(
        "silence between tokens is a timeout",
        "service/providers/http_client.py",
        "min(self._total_due, now + upstream.timeouts.between_tokens)",
        "self._total_due",
        (OPENAI + "test_silence_between_tokens_is_a_timeout",),
    ),
    Mutation(
        "a first token that does not come is a timeout",
        "service/providers/http_client.py",
        "first_due = min(deadline, now + self.timeouts.first_token)",
        "first_due = deadline",
        (TIMEOUTS + "test_a_first_token_that_does_not_come_is_a_timeout",),
    ),
    Mutation(
        "a stream has a limit for all of it",
        "service/providers/http_client.py",
        "total_due = min(deadline, now + self.timeouts.total)",
        "total_due = now + 3600.0",
        (TIMEOUTS + "test_a_stream_has_a_limit_for_all_of_it",),
    ),
    Mutation(
        "a whole answer has a limit",
        "service/providers/http_client.py",
        "due if due < deadline else deadline",
        "deadline",
        (TIMEOUTS + "test_a_whole_answer_has_a_limit",),
    ),
    Mutation(
        "the call's deadline wins over the provider's patience",
        "service/providers/http_client.py",
        "first_due = min(deadline, now + self.timeouts.first_token)",
        "first_due = now + self.timeouts.first_token",
        (TIMEOUTS + "test_the_calls_own_deadline_wins_before_the_first_token",),
    ),
    Mutation(
        "connecting has a limit of its own",
        "service/upstream/client.py",
        "min(due, loop.time() + self._connect_seconds)",
        "due",
        (TLS + "test_connecting_has_a_limit_of_its_own",),
    ),
    Mutation(
        "hanging up closes the upstream's connection",
        "service/upstream/client.py",
        "park(self._loop.time()):\n            connection.abort()\n            return\n",
        "park(self._loop.time()):\n            return\n",
        (OPENAI + "test_hanging_up_closes_the_upstream_at_once",),
    ),
    # --- Anthropic
    Mutation(
        "Anthropic: cached tokens count as input",
        "service/providers/anthropic_reply.py",
        'count("input_tokens") + read + write,',
        'count("input_tokens"),',
        (ANTHROPIC + "test_a_whole_answer_counts_cached_tokens_as_input",),
    ),
    Mutation(
        "Anthropic: a stream's last counts hold",
        "service/providers/anthropic_reply.py",
        "for told in (last, first):",
        "for told in (first, last):",
        (ANTHROPIC + "test_a_streamed_answer_says_and_counts_the_same",),
    ),
    Mutation(
        "Anthropic: results stand before anything else",
        "service/providers/anthropic_wire.py",
        '        entry["content"].sort(key=lambda item: item["type"] != "tool_result")\n',
        "        pass\n",
        (ANTHROPIC + "test_thinking_and_tools_there_and_back",),
    ),
    Mutation(
        "Anthropic: reasoning of another provider is left out",
        "service/providers/anthropic_wire.py",
        "return isinstance(part, Thinking) and not part.signature and not part.redacted",
        "return False",
        (ANTHROPIC + "test_reasoning_of_another_provider_is_left_out",),
    ),
    Mutation(
        "Anthropic: a tool call ends as one",
        "service/providers/anthropic_reply.py",
        '"tool_use": "tool_calls",',
        '"tool_use": "stop",',
        (ANTHROPIC + "test_streamed_thinking_and_tool_calls",),
    ),
    Mutation(
        "Anthropic: overloaded is not an internal error",
        "service/providers/anthropic.py",
        '"overloaded_error": "overloaded",',
        '"overloaded_error": "internal",',
        (ANTHROPIC + "test_errors_find_their_kind", ANTHROPIC + "test_a_stream_that_does_not_end_well_is_an_error"),
    ),
    Mutation(
        "Anthropic: a stream without message_stop is cut",
        "service/providers/anthropic.py",
        "            raise self._upstream.cut()\n",
        "            pass\n",
        (ANTHROPIC + "test_a_stream_that_does_not_end_well_is_an_error",),
    ),
    # --- Gemini
    Mutation(
        "Gemini: thoughts count as output",
        "service/providers/gemini_wire.py",
        "(self.candidates_token_count or 0) + thoughts,",
        "(self.candidates_token_count or 0),",
        (GEMINI + "test_a_whole_answer_counts_thoughts_as_output",),
    ),
    Mutation(
        "Gemini: a call without its signature gets the documented one",
        "service/providers/gemini_wire.py",
        'part.signature or (NO_SIGNATURE if "gemini-3" in model else "")',
        "part.signature",
        (GEMINI + "test_tools_there_and_back_with_or_without_their_signature",),
    ),
    Mutation(
        "Gemini: a limit per day is a quota",
        "service/providers/gemini.py",
        '                kind = "quota"\n',
        "                pass\n",
        (GEMINI + "test_errors_find_their_kind",),
    ),
    Mutation(
        "Gemini: the pause in the body is read",
        "service/providers/gemini.py",
        "pause = _seconds(told[:-1])",
        "pause = None",
        (GEMINI + "test_errors_find_their_kind",),
    ),
    Mutation(
        "Gemini: a model that broke off is an error",
        "service/providers/gemini.py",
        "if reason in wire.BROKEN:",
        "if reason in ():",
        (GEMINI + "test_a_stream_that_does_not_end_well_is_an_error",),
    ),
    Mutation(
        "Gemini: a model's name cannot leave its place in the path",
        "service/providers/gemini.py",
        "quote(model, safe='')",
        "quote(model)",
        (GEMINI + "test_a_model_name_cannot_leave_its_place_in_the_path",),
    ),
    # --- Bedrock
    Mutation(
        "Bedrock: calls are signed",
        "service/providers/bedrock_aws.py",
        '        SigV4Auth(self._frozen, "bedrock", self._region).add_auth(request)\n',
        "",
        (BEDROCK + "test_a_signed_call_is_answered_and_counted",),
    ),
    Mutation(
        "Bedrock: cached tokens count as input",
        "service/providers/bedrock_wire.py",
        "            self.input_tokens + read + write,",
        "            self.input_tokens,",
        (BEDROCK + "test_a_signed_call_is_answered_and_counted",),
    ),
    Mutation(
        "Bedrock: an exception inside a stream is raised",
        "service/providers/bedrock.py",
        'if name.lower().endswith(b"exception"):',
        'if name.lower().endswith(b"error"):',
        (BEDROCK + "test_a_stream_that_does_not_end_well_is_an_error",),
    ),
    Mutation(
        "Bedrock: throttling is a rate limit",
        "service/providers/bedrock.py",
        '"throttlingexception": "rate_limited",',
        '"throttlingexception": "overloaded",',
        (BEDROCK + "test_errors_find_their_kind",),
    ),
    # --- prices
    Mutation(
        "cached tokens are not charged twice",
        "service/providers/catalog.py",
        "plain = max(0, usage.input_tokens - read - write)",
        "plain = usage.input_tokens",
        (CATALOG + "test_every_kind_of_token_has_its_own_price",),
    ),
    Mutation(
        "another model is never taken for a cheaper relative",
        "service/providers/catalog.py",
        "            return None\n        if name in known:",
        "            pass\n        if name in known:",
        (CATALOG + "test_another_model_is_never_taken_for_a_cheaper_relative",),
    ),
)  # fmt: skip
