"""How much may be asked for: rates, tokens, budgets, with Redis and without it."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

GCRA: Final = "tests/service/limits/test_gcra.py::"
ADMIT: Final = "tests/service/limits/test_admission.py::"
CLUSTER: Final = "tests/service/limits/test_cluster.py::"
REFUSALS: Final = "tests/service/api/test_refusals.py::"

ROWS: Final = (
    Mutation(
        "the burst is the most that passes at once",
        "service/limits/gcra.py",
        "if wanted > bucket.tolerance + 1.0:",
        "if wanted > bucket.tolerance * 2 + 1.0:",
        (GCRA + "test_never_more_than_the_burst_and_what_came_back",),
    ),
    Mutation(
        "waiting as long as told is enough",
        "service/limits/gcra.py",
        "Verdict(False, ahead, wanted - bucket.tolerance)",
        "Verdict(False, ahead, (wanted - bucket.tolerance) / 2)",
        (GCRA + "test_waiting_as_long_as_told_is_enough",),
    ),
    Mutation(
        "the script decides as the arithmetic does",
        "service/limits/script.py",
        "if wanted > tolerance + 1 and refused == 0",
        "if wanted > tolerance * 1.2 and refused == 0",
        (GCRA + "test_the_script_decides_as_the_arithmetic_does",),
    ),
    Mutation(
        "one limit holds for all processes",
        "service/limits/script.py",
        "tonumber(redis.call('GET', KEYS[i])) or now) - now",
        "now) - now",
        (GCRA + "test_several_processes_share_one_limit_exactly",),
    ),
    Mutation(
        "a refused request charges no bucket",
        "service/limits/script.py",
        "if answer[1] == 0 and ahead[i] > 0 then",
        "if ahead[i] > 0 then",
        (GCRA + "test_a_refused_request_charges_no_bucket",),
    ),
    Mutation(
        "buckets leave Redis when they are full again",
        "service/limits/script.py",
        "now + ahead[i]), 'PX', math.ceil(ahead[i] / 1000) + 1)",
        "now + ahead[i]))",
        (GCRA + "test_buckets_expire_when_they_are_full_again",),
    ),
    Mutation(
        "without Redis a process enforces its share",
        "service/limits/local.py",
        "max(1, int(bucket.burst * self._share)),",
        "bucket.burst,",
        (GCRA + "test_without_redis_a_process_enforces_its_share",),
    ),
    Mutation(
        "without Redis limits hold in this process",
        "service/limits/local.py",
        "                self._tat[bucket.key] = now + verdict.ahead\n",
        "                pass\n",
        (ADMIT + "test_without_redis_limits_and_budgets_hold_in_this_process",),
    ),
    Mutation(
        "keys of a client lie on one node of a cluster",
        "service/limits/limiter.py",
        'f"sa:{{{principal.account}}}"',
        'f"sa:{principal.account}"',
        (CLUSTER + "test_clients_spread_over_all_nodes_and_each_has_its_own_limit",),
    ),
    Mutation(
        "in a cluster the global limit holds across nodes",
        "service/limits/admission.py",
        "            if overall.scope:\n",
        "            if False:\n",
        (CLUSTER + "test_the_global_limit_holds_across_nodes",),
    ),
    Mutation(
        "a flushed script is loaded again",
        "service/limits/admission.py",
        "                await link.repair()\n",
        "                pass\n",
        (ADMIT + "test_a_flushed_script_is_loaded_again",),
    ),
    Mutation(
        "tokens are reserved before a call",
        "service/limits/limiter.py",
        "bulk(min(tokens, plan.tokens.burst))",
        "bulk(0)",
        (ADMIT + "test_what_was_reserved_and_not_used_comes_back",),
    ),
    Mutation(
        "what a call used beyond its reservation is charged",
        "service/limits/limiter.py",
        "change = round((used - min(tokens, bucket.burst)) * bucket.emission)",
        "change = min(0, round((used - min(tokens, bucket.burst)) * bucket.emission))",
        (ADMIT + "test_more_used_than_reserved_is_charged_afterwards",),
    ),
    Mutation(
        "a session's turn that is refused counts as a request",
        "service/api/sessions.py",
        "        except ApiError:\n            await self._door.count(exchange, principal)\n            raise\n        try:\n",
        "        except ApiError:\n            raise\n        try:\n",
        ("tests/service/api/test_sessions.py::test_a_turn_that_is_refused_counts_as_any_request",),
    ),
    Mutation(
        "Redis gives back only what it had charged",
        "service/limits/admission.py",
        "                tokens = reserve_micro = 0\n",
        "                pass\n",
        (ADMIT + "test_redis_gives_back_only_what_it_had_charged",),
    ),
    Mutation(
        "nor does this process give back what Redis had charged",
        "service/limits/admission.py",
        "(reserve_micro if local else 0)",
        "reserve_micro",
        (ADMIT + "test_what_was_reserved_in_redis_is_not_given_back_here",),
    ),
    Mutation(
        "no more comes back than was charged",
        "service/limits/limiter.py",
        "change = round((used - min(tokens, bucket.burst)) * bucket.emission)",
        "change = round((used - tokens) * bucket.emission)",
        (ADMIT + "test_no_more_comes_back_than_was_charged",),
    ),
    Mutation(
        "an answer that took longer than its reservation lasts is charged",
        "service/limits/script.py",
        "(tonumber(value) or now) - now, 0) + change",
        "(tonumber(value) or now) - now, 0) + (value and change or 0)",
        (ADMIT + "test_an_answer_that_took_longer_than_its_reservation_lasts_is_charged",),
    ),
    Mutation(
        "a call settles what it reserved",
        "service/api/pipeline.py",
        "            self._admission.settle(call.plan, call.estimate, used,",
        "            (lambda *_, **__: None)(call.plan, call.estimate, used,",
        (REFUSALS + "test_tokens_per_minute_count_what_was_written_too",),
    ),
    Mutation(
        "a budget starts at what the ledger says",
        "service/limits/admission.py",
        'await link.call("SET", plan.budget_key, micro, "NX",',
        'await link.call("SET", plan.budget_key, 0, "NX",',
        (ADMIT + "test_a_budget_starts_at_what_the_ledger_says",),
    ),
    Mutation(
        "concurrent calls cannot overdraw a budget",
        "service/limits/script.py",
        "redis.call('INCRBY', KEYS[n+1], reserve)",
        "redis.call('INCRBY', KEYS[n+1], 0)",
        (ADMIT + "test_concurrent_calls_cannot_overdraw_a_budget",),
    ),
    Mutation(
        "a call that may cost more than the budget is not made",
        "service/api/call.py",
        "            micro = round(",
        "            micro = 0 * round(",
        (REFUSALS + "test_a_call_that_may_cost_more_than_the_budget_is_never_made",),
    ),
    Mutation(
        "what a call cost counts against the next",
        "service/api/pipeline.py",
        "call.reserved, cost, local=call.local)",
        "call.reserved, 0.0, local=call.local)",
        (REFUSALS + "test_what_a_call_did_cost_counts_against_the_next",),
    ),
    Mutation(
        "without both stores a budget is counted from here on",
        "service/limits/admission.py",
        "            self._local_spend[plan.budget_key] += reserve\n",
        "            pass\n",
        (ADMIT + "test_without_both_stores_a_budget_is_counted_from_here_on",),
    ),
    Mutation(
        "answers carry the X-RateLimit headers",
        "service/api/pipeline.py",
        "            exchange.lines += limit_lines(decision)\n",
        "            pass\n",
        (REFUSALS + "test_every_answer_says_what_is_left_and_a_refusal_how_long_to_wait",),
    ),
    Mutation(
        "a refusal says how long to wait",
        "service/api/errors.py",
        '        headers.append((b"retry-after", str(max(1, -int(-error.retry_after // 1))).encode()))\n',
        "        pass\n",
        (REFUSALS + "test_every_answer_says_what_is_left_and_a_refusal_how_long_to_wait",),
    ),
    Mutation(
        "each of several choices counts",
        "service/api/pipeline.py",
        "admit(plan, tokens, micro, look, choices)",
        "admit(plan, tokens, micro, look)",
        ("tests/service/api/test_choices.py::test_limits_count_every_choice[True]",),
    ),
)  # fmt: skip
