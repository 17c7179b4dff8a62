"""Which provider is asked, when one is left alone, and how often anything is tried."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

BREAKER: Final = "tests/service/routing/test_breaker.py::"
DISPATCH: Final = "tests/service/routing/test_dispatch.py::"
HEDGE: Final = "tests/service/routing/test_hedge.py::"
POLICIES: Final = "tests/service/routing/test_policies.py::"

ROWS: Final = (
    Mutation(
        "five failures open a breaker, not six",
        "service/routing/breaker.py",
        "failures: int = 5,",
        "failures: int = 6,",
        (BREAKER + "test_five_failures_in_a_row_open_it_and_a_success_between_starts_the_count_again",),
    ),
    Mutation(
        "a success between failures starts the count again",
        "service/routing/breaker.py",
        "            self._failures = 0\n            return",
        "            return",
        (BREAKER + "test_five_failures_in_a_row_open_it_and_a_success_between_starts_the_count_again",),
    ),
    Mutation(
        "an open breaker waits thirty seconds",
        "service/routing/breaker.py",
        "open_seconds: float = 30.0,",
        "open_seconds: float = 20.0,",
        (BREAKER + "test_after_thirty_seconds_one_probe_at_a_time_and_two_successes_close_it",),
    ),
    Mutation(
        "two successes close a breaker, not one",
        "service/routing/breaker.py",
        "successes: int = 2,",
        "successes: int = 1,",
        (BREAKER + "test_after_thirty_seconds_one_probe_at_a_time_and_two_successes_close_it",),
    ),
    Mutation(
        "half-open admits one probe at a time",
        "service/routing/breaker.py",
        "        self._probing = True\n",
        "",
        (BREAKER + "test_after_thirty_seconds_one_probe_at_a_time_and_two_successes_close_it",),
    ),
    Mutation(
        "a failed probe opens the breaker again",
        "service/routing/breaker.py",
        "        if self.state == HALF_OPEN:\n            self._become(OPEN)\n            return\n",
        "",
        (BREAKER + "test_a_failed_probe_opens_it_for_another_thirty_seconds",),
    ),
    Mutation(
        "results from before a breaker opened say nothing about it",
        "service/routing/breaker.py",
        "        self._era += 1\n",
        "",
        (BREAKER + "test_results_of_calls_from_before_it_opened_count_for_nothing",),
    ),
    Mutation(
        "the thresholds of the file's routing are 5, 30 s and 2 by default",
        "service/providers/config.py",
        "breaker_failures: int = 5",
        "breaker_failures: int = 50",
        (DISPATCH + "test_an_open_breaker_is_skipped_and_closed_again_by_two_probes",),
    ),
    Mutation(
        "what a client did wrong does not open the breaker",
        "service/providers/errors.py",
        '"bad_request": Handling(400, retry=False, failover=False, breaks=False)',
        '"bad_request": Handling(400, retry=False, failover=False, breaks=True)',
        (DISPATCH + "test_a_clients_mistake_neither_opens_the_breaker_nor_holds_a_probe",),
    ),
    Mutation(
        "what a client did wrong is not tried elsewhere",
        "service/providers/errors.py",
        '"bad_request": Handling(400, retry=False, failover=False, breaks=False)',
        '"bad_request": Handling(400, retry=False, failover=True, breaks=False)',
        ("tests/service/providers/test_errors.py::"
         "test_what_the_client_did_wrong_neither_opens_the_breaker_nor_is_sent_elsewhere",),
    ),
    Mutation(
        "a refused key at one provider moves on to the next",
        "service/providers/errors.py",
        '"auth": Handling(502, retry=False, failover=True,',
        '"auth": Handling(502, retry=False, failover=False,',
        (DISPATCH + "test_what_a_repeat_cannot_mend_moves_on_at_once",),
    ),
    Mutation(
        "a stream that has begun never moves to another provider",
        "service/routing/router.py",
        "            pending.failed(error)\n            raise\n        except StopAsyncIteration",
        "            pending.failed(error)\n            async for again in self.stream(request, ctx):\n"
        "                yield again\n            return\n        except StopAsyncIteration",
        ("tests/service/routing/test_router.py::test_a_stream_that_dies_is_an_error_and_never_moves_on",),
    ),
    Mutation(
        "a stream that breaks half-way counts against its provider",
        "service/routing/router.py",
        "            pending.failed(error)\n            raise\n        except StopAsyncIteration",
        "            pending.ok()\n            raise\n        except StopAsyncIteration",
        (DISPATCH + "test_a_stream_that_breaks_counts_against_the_breaker",),
    ),
    Mutation(
        "a stream that just stops is an error, not an end",
        "service/routing/router.py",
        "            raise cut from None",
        "            return",
        (DISPATCH + "test_an_adapter_that_just_stops_is_a_cut_stream",),
    ),
    Mutation(
        "repeats have a budget",
        "service/routing/dispatch.py",
        "if moment >= deadline or not self.budget.spend():",
        "if moment >= deadline:",
        (DISPATCH + "test_repeats_have_a_budget_so_that_an_outage_is_not_multiplied",),
    ),
    Mutation(
        "a call earns a part of a repeat, not a whole one",
        "service/routing/retry.py",
        "saved = self._saved + self._ratio",
        "saved = self._saved + 1.0",
        (DISPATCH + "test_repeats_have_a_budget_so_that_an_outage_is_not_multiplied",),
    ),
    Mutation(
        "jitter is full: from nothing up to the bound",
        "service/routing/retry.py",
        "rng.uniform(0.0, min(",
        "rng.uniform(base, min(",
        (DISPATCH + "test_jitter_is_anything_up_to_a_doubling_bound_and_a_cap",),
    ),
    Mutation(
        "the bound of the jitter has a cap",
        "service/routing/retry.py",
        "min(cap, base * 2.0 ** min(attempt - 1, 30))",
        "base * 2.0 ** min(attempt - 1, 30)",
        (DISPATCH + "test_jitter_is_anything_up_to_a_doubling_bound_and_a_cap",),
    ),
    Mutation(
        "no pause goes beyond the deadline",
        "service/routing/dispatch.py",
        "if max(moment, now) >= deadline:",
        "if now >= deadline:",
        (DISPATCH + "test_no_pause_goes_beyond_the_deadline_and_the_client_learns_how_long_to_wait",),
    ),
    Mutation(
        "attempts are bounded",
        "service/routing/dispatch.py",
        "while plan and len(ctx.attempts) < self._config.max_attempts:",
        "while plan:",
        (DISPATCH + "test_attempts_are_bounded",),
    ),
    Mutation(
        "a provider that says to wait is left alone so long",
        "service/routing/dispatch.py",
        "            target.load.cool_until = self._clock() + (error.retry_after or 1.0)\n",
        "",
        (DISPATCH + "test_who_is_told_to_wait_is_left_alone_for_that_long",),
    ),
    Mutation(
        "a hedge asks another provider, not the same again",
        "service/routing/hedge.py",
        "if target.upstream is not targets[0].upstream]",
        "if target.upstream is targets[0].upstream]",
        (HEDGE + "test_a_slow_provider_is_overtaken_and_cancelled",),
    ),
    Mutation(
        "hedges spend from the budget of repeats",
        "service/routing/hedge.py",
        "others and dispatcher.budget.spend()",
        "others",
        (HEDGE + "test_hedges_stop_when_the_budget_is_spent",),
    ),
    Mutation(
        "the loser of a hedge is cancelled",
        "service/routing/hedge.py",
        "            run.cancel()\n",
        "            pass\n",
        (HEDGE + "test_a_client_that_goes_away_cancels_both",),
    ),
    Mutation(
        "weights are chances",
        "service/routing/policies.py",
        "rng.expovariate(target.weight)",
        "rng.expovariate(1.0)",
        (POLICIES + "test_weights_are_chances",),
    ),
    Mutation(
        "the quickest provider is asked first",
        "service/routing/policies.py",
        "(target.load.expected(), target.load.in_flight, rng.random())",
        "(target.load.in_flight, rng.random())",
        (POLICIES + "test_the_quickest_is_asked_and_the_slow_one_gets_another_chance",),
    ),
    Mutation(
        "expected latency counts the calls under way",
        "service/routing/target.py",
        "return seconds * (self.in_flight + 1)",
        "return seconds",
        (POLICIES + "test_load_counts_calls_under_way_and_believes_bad_news_at_once",),
    ),
    Mutation(
        "the cheapest provider is asked first",
        "service/routing/policies.py",
        "return sorted(targets, key=price)",
        "return sorted(targets, key=price, reverse=True)",
        (POLICIES + "test_the_cheapest_with_a_known_price_is_asked",),
    ),
    Mutation(
        "a lower tier goes before a higher one",
        "service/routing/policies.py",
        "not target.upstream.healthy, target.tier),",
        "not target.upstream.healthy),",
        (POLICIES + "test_a_lower_tier_is_used_up_before_a_higher_one_whatever_the_policy",),
    ),
    Mutation(
        "a provider that fails its check comes last",
        "service/routing/health.py",
        "            upstream.healthy = False\n",
        "",
        (POLICIES + "test_a_provider_known_to_be_ill_comes_last_and_is_asked_when_nobody_else_can",),
    ),
    Mutation(
        "a model that cannot do what is asked is left out",
        "service/routing/models.py",
        "if request.tools and not info.tools:",
        "if request.tools and info.tools:",
        (POLICIES + "test_who_cannot_do_what_is_asked_is_left_out",),
    ),
    Mutation(
        "names that clients make up are no metric labels",
        "service/routing/models.py",
        ', label="other"),)',
        "),)",
        (POLICIES + "test_names_that_clients_make_up_never_become_metric_labels",),
    ),
    Mutation(
        "a probe that streams lets others in when it has begun",
        "service/routing/router.py",
        "        if target.upstream.breaker.state:\n            pending.begun()\n",
        "",
        (DISPATCH + "test_a_probe_that_streams_lets_others_in_when_it_has_begun",),
    ),
    Mutation(
        "a deadline that the caller chose too short opens no breaker",
        "service/routing/dispatch.py",
        '        if error.kind == "timeout" and self._ctx.hurried and',
        "        if False and self._ctx.hurried and",
        (
            DISPATCH + "test_a_deadline_that_the_caller_chose_too_short_opens_no_breaker",
        ),
    ),
    Mutation(
        "whom another overtook is paid for the prompt",
        "service/routing/charges.py",
        '            if attempt.outcome == "cancelled":\n',
        "            if False:\n",
        (HEDGE + "test_who_was_overtaken_has_read_the_prompt_and_is_paid_for_it",),
    ),
)  # fmt: skip
