"""What is traced, who decides it, and that nothing secret or said by a client gets out."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

CANARIES: Final = (
    "tests/service/test_nothing_leaks.py::test_no_secret_and_no_word_of_a_client_is_written_anywhere",
)
SETTING: Final = ("tests/service/test_nothing_leaks.py::test_a_wrong_setting_is_told_without_its_value",)
SECRETS: Final = "tests/service/providers/test_secrets.py::"
TRACES: Final = "tests/service/telemetry/test_traces.py::"
EXPORTER: Final = "tests/service/telemetry/test_exporter.py::"

ROWS: Final = (
    Mutation(
        "the record of an attempt has no word of the provider",
        "service/telemetry/attempts.py",
        'record["http_status"] = error.status\n',
        'record["http_status"] = error.status\n            record["message"] = error.message\n',
        CANARIES,
    ),
    Mutation(
        "no attribute of a span is a client's text",
        "service/telemetry/genai.py",
        '    attributes: Attributes = {"gen_ai.operation.name": CHAT}\n',
        '    attributes: Attributes = {"gen_ai.operation.name": CHAT, "said": str(request.messages)}\n',
        CANARIES,
    ),
    Mutation(
        "a span is named by its route, not by the path a client wrote",
        "service/api/edge.py",
        "self._tracer.answered(recording, method, exchange.template,",
        "self._tracer.answered(recording, method, exchange.path,",
        CANARIES,
    ),
    Mutation(
        "a request's log line has the route, not the path",
        "service/api/edge.py",
        'fields["path"] = exchange.template',
        'fields["path"] = exchange.path',
        CANARIES,
    ),
    Mutation(
        "an audit event has no credential",
        "service/api/gate.py",
        'self._note(exchange, kind, "", reason=reason)',
        'self._note(exchange, kind, "", reason=str(exchange.headers))',
        CANARIES,
    ),
    Mutation(
        "what a provider says of our key is not told",
        "service/providers/http_client.py",
        "            message = without(self._secret, message)\n",
        "            pass\n",
        CANARIES,
    ),
    Mutation(
        "a key that is cut off in the middle is not told either",
        "service/providers/http_client.py",
        "        if bare.endswith(secret[:length]):",
        "        if False:",
        (SECRETS + "test_an_error_that_quotes_the_key_is_told_without_it",),
    ),
    Mutation(
        "a wrong base URL is told without the password in it",
        "service/upstream/origin.py",
        '    if "@" in url:',
        "    if False:",
        SETTING,
    ),
    Mutation(
        "a library's exception is logged by its place, not by its text",
        "service/telemetry/logs.py",
        'fields["error"] = where(record.exc_info[1])',
        'fields["error"] = str(record.exc_info[1])',
        ("tests/service/telemetry/test_logs.py::test_an_exception_is_told_by_its_place_alone",),
    ),
    Mutation(
        "a provider learns of a trace only where it is configured",
        "service/providers/http_client.py",
        "self._sends_trace = config.send_traceparent",
        "self._sends_trace = True",
        (SECRETS + "test_only_a_provider_that_is_configured_so_learns_of_the_trace",),
    ),
    Mutation(
        "a caller's flag decides only when it may",
        "service/telemetry/traces.py",
        "parent.sampled if self._parent_based else",
        "parent.sampled if True else",
        (TRACES + "test_the_ratio_decides_for_all_alike",),
    ),
    Mutation(
        "a traceparent with too much at its end begins a new trace",
        "service/telemetry/trace_context.py",
        'or (version == b"00" and more is not None)',
        "",
        ("tests/service/telemetry/test_trace_context.py::test_what_breaks_a_rule_counts_as_not_sent",),
    ),
    Mutation(
        "spans that wait for a receiver are bounded",
        "service/telemetry/exporter.py",
        "if self._held + size > MOST_WAITING:",
        "if False:",
        (EXPORTER + "test_a_receiver_that_is_gone_costs_bounded_memory_and_a_bounded_end",),
    ),
    Mutation(
        "a stream that was cut is a failed span",
        "service/telemetry/traces.py",
        'failed = status >= 500 or outcome == "cut"',
        "failed = status >= 500",
        (TRACES + "test_a_stream_is_timed_to_its_first_token_and_to_its_end",),
    ),
)
