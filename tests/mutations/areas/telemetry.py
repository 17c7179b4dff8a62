"""What operators see, and what nobody may see."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

METRICS: Final = "tests/service/telemetry/test_metrics.py::"
REDACTION: Final = "tests/service/telemetry/test_redaction.py::test_no_prompt_answer_or_key_is_logged_or_told"
COUNTED: Final = "tests/service/telemetry/test_counted.py::"

ROWS: Final = (
    Mutation(
        "a metric keeps its name",
        "service/telemetry/metrics.py",
        '"superagent_provider_fallbacks_total"',
        '"superagent_provider_failovers_total"',
        ("tests/dashboards/test_dashboards.py::test_an_expression_reads_only_metrics_and_labels_that_exist",),
    ),
    Mutation(
        "known children of a counter start at zero",
        "service/telemetry/metrics.py",
        "            self.rate_limited.labels(scope)\n",
        "            pass\n",
        (METRICS + "test_known_children_start_at_zero",),
    ),
    Mutation(
        "every definition is exported",
        "service/telemetry/metrics.py",
        "    JOURNAL_PENDING, DEPENDENCY_UP,",
        "    JOURNAL_PENDING,",
        (METRICS + "test_nothing_of_ours_is_exported_that_is_not_defined",),
    ),
    Mutation(
        "latency has an edge above the longest answer",
        "service/telemetry/metrics.py",
        "120.0, 180.0, 240.0, 300.0,\n)",
        "120.0,\n)",
        (METRICS + "test_latency_has_an_edge_above_every_answer_that_is_allowed",),
    ),
    Mutation(
        "a path's label is its template",
        "service/api/edge.py",
        "identity = (exchange.method, exchange.template, exchange.status)",
        "identity = (exchange.method, exchange.path, exchange.status)",
        (COUNTED + "test_labels_are_templates_and_known_methods_whatever_clients_ask_for",),
    ),
    Mutation(
        "a method that clients make up is no label",
        "service/api/edge.py",
        'known = method if method in METHODS else "OTHER"',
        "known = method",
        (COUNTED + "test_labels_are_templates_and_known_methods_whatever_clients_ask_for",),
    ),
    Mutation(
        "an answer is counted when its last byte is sent",
        "service/api/edge.py",
        "        children[0].value += 1\n",
        "",
        (COUNTED + "test_labels_are_templates_and_known_methods_whatever_clients_ask_for",),
    ),
    Mutation(
        "cached answers count as saved money",
        "service/api/pipeline.py",
        "        self._saved.value += entry.cost_usd\n",
        "",
        ("tests/service/cache/test_answers_again.py::test_a_kept_answer_is_counted_with_what_it_saved",),
    ),
    Mutation(
        "an unforeseen error is logged without the values in play",
        "service/telemetry/logs.py",
        'return f"{type(error).__name__} at',
        'return f"{error!r} at',
        (REDACTION,),
    ),
    Mutation(
        "a wrong credential is not logged",
        "service/api/gate.py",
        '        self._note(exchange, kind, "", reason=reason)\n',
        '        self._note(exchange, kind, "", reason=str(exchange.headers))\n',
        (REDACTION,),
    ),
    Mutation(
        "headers do not reach the request's log line",
        "service/api/edge.py",
        'fields["path"] = exchange.template',
        'fields["path"] = str(exchange.headers)',
        (REDACTION,),
    ),
    Mutation(
        "background errors are logged without their text",
        "service/background.py",
        "name, type(error).__name__, place)",
        "name, error, place)",
        ("tests/service/test_background.py::test_it_begins_again_and_says_where_it_failed_but_not_with_which_values",),
    ),
    Mutation(
        "secrets of the settings are not shown",
        "service/settings.py",
        "database_url: SecretStr = Field(",
        "database_url: str = Field(",
        ("tests/service/test_settings.py::test_secrets_are_not_shown",),
    ),
)  # fmt: skip
