"""What the models do, and what they cost."""

from __future__ import annotations

from dashboards.frame import Board, Row
from dashboards.panels import Query, lines, number
from dashboards.queries import rate, service, share, total
from dashboards.shapes import flow, score, speed


def llm() -> Board:
    """Cost, tokens, speed of tokens, errors, fallbacks, caches."""
    return Board(
        "superagent-llm",
        "SuperAgent / LLM cost and tokens",
        "What answers cost, how fast tokens come, where requests fall back to, and what caches save.",
        (_cost(), _tokens(), _failures(), _caches(), _agents()),
    )


def _cost() -> Row:
    cost = service("provider_cost_usd_total")
    answers = total(rate(service("provider_requests_total", 'status="ok"')))
    return Row(
        "Cost",
        (
            number(
                "Cost per hour",
                [Query(f"3600 * {total(rate(cost))}")],
                "At the pace of this moment.",
                unit="currencyUSD",
                span=8,
            ),
            number(
                "Cost per answer",
                [Query(f"{total(rate(cost))} / {answers}")],
                "Cost of one answer of a provider; cached answers cost nothing and are not among them.",
                unit="currencyUSD",
                span=8,
            ),
            number(
                "Saved by caches per hour",
                [Query(f"3600 * {total(rate(service('cache_saved_usd_total')))}")],
                "What cached answers would have cost.",
                unit="currencyUSD",
                span=8,
            ),
            lines(
                "Cost by model",
                [Query(f"3600 * {total(rate(cost), 'provider', 'model')}", "{{provider}} {{model}}")],
                "USD per hour.",
                unit="currencyUSD",
                stacked=True,
                span=24,
            ),
        ),
    )


def _tokens() -> Row:
    tokens = service("provider_tokens_total")
    return Row(
        "Tokens",
        (
            flow(
                "Tokens by type",
                tokens,
                ("type",),
                "Tokens a second; cached ones are input tokens that the provider had already seen.",
            ),
            flow("Tokens by model", tokens, ("model",), "Tokens a second, all types."),
            speed(
                "Time to first token (p95)",
                "provider_ttft_seconds",
                "provider",
                "What a person waits before anything moves.",
                runbook="SuperAgentLatencyElevated",
            ),
            speed(
                "Time per output token (p50)",
                "provider_time_per_output_token_seconds",
                "provider",
                "Pace of an answer once it has begun.",
                q=0.5,
            ),
        ),
    )


def _failures() -> Row:
    failed = service("provider_requests_total", 'status!="ok"')
    everything = service("provider_requests_total")
    return Row(
        "Failures",
        (
            lines(
                "Provider errors",
                [
                    Query(
                        f"({total(rate(failed), 'provider', 'status')} > 0)"
                        f" or {total(rate(everything), 'provider')} * 0",
                        "{{provider}} {{status}}",
                    )
                ],
                "Calls a second that failed, by provider and class of error.",
                unit="ops",
                stacked=True,
                runbook="SuperAgentProvidersUnavailable",
            ),
            flow(
                "Fallbacks",
                service("provider_fallbacks_total"),
                ("from", "to"),
                "Requests a second that moved on to another provider.",
                silent=True,
                joined=" to ",
                runbook="SuperAgentProviderDown",
            ),
            score(
                "Answer quality",
                "answer_quality_score",
                "{{provider}}",
                "Mean score of sampled answers, 0 to 1; empty while SUPERAGENT_QUALITY_SAMPLE is 0.",
                "provider",
            ),
        ),
    )


def _caches() -> Row:
    hits, misses = service("cache_hits_total"), service("cache_misses_total")
    looked = f"({total(rate(hits), 'cache')} + {total(rate(misses), 'cache')})"
    return Row(
        "Caches and limits",
        (
            lines(
                "Cache hit rate",
                [Query(share(total(rate(hits), "cache"), looked), "{{cache}}")],
                "Hits of look-ups.",
                unit="percentunit",
                top=1,
                runbook="SuperAgentCacheHitRateLow",
            ),
            flow(
                "Semantic cache: not answered, and why",
                service("semantic_cache_unanswered_total"),
                ("reason",),
                "Questions a second that it refused (guard) or could not look up (embedder, resting, store).",
                unit="reqps",
            ),
            flow(
                "Refused by limits",
                service("rate_limited_total"),
                ("scope",),
                "Refused requests a second, by the limit that refused them.",
                unit="reqps",
            ),
        ),
    )


def _agents() -> Row:
    return Row(
        "Agents",
        (
            flow(
                "Agent requests",
                service("agent_requests_total"),
                ("agent", "outcome"),
                "Messages a second that an agent took, by what came of them.",
                silent=True,
            ),
            speed("Agent duration (p95)", "agent_duration_seconds", "agent", "Message taken to answer."),
        ),
    )
