"""Answers given again: to whom, for how long, and never instead of what must be asked."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

EXACT: Final = "tests/service/cache/test_exact.py::"
FLIGHTS: Final = "tests/service/api/test_flights.py::"
STREAMS: Final = "tests/service/api/test_shared_stream.py::"
AGAIN: Final = "tests/service/cache/test_answers_again.py::"

ROWS: Final = (
    Mutation(
        "no account is answered with another's",
        "service/cache/exact.py",
        'f"sa:{{{account}}}:x:',
        'f"sa:{{everybody}}:x:',
        (EXACT + "test_accounts_share_a_key_only_with_themselves",),
    ),
    Mutation(
        "every word of a request counts",
        "service/cache/exact.py",
        "hashlib.sha256(_encoder.encode(request))",
        "hashlib.sha256(_encoder.encode(request.model))",
        (EXACT + "test_another_request_has_another_key",),
    ),
    Mutation(
        "calls with tools are never answered from a cache",
        "service/cache/exact.py",
        "    if request.tools:\n        return NEVER\n",
        "",
        (EXACT + "test_who_may_be_answered_from_it",),
    ),
    Mutation(
        "above temperature 0 only who asks gets a kept answer",
        "service/cache/exact.py",
        '.lower() != b"use":',
        '.lower() == b"never":',
        (EXACT + "test_who_may_be_answered_from_it",),
    ),
    Mutation(
        "no-store keeps nothing",
        "service/cache/exact.py",
        '    if b"no-store" in control:\n        return NEVER\n',
        "",
        (AGAIN + "test_no_store_keeps_nothing_and_no_cache_asks_afresh",),
    ),
    Mutation(
        "no-cache asks afresh",
        "service/cache/exact.py",
        'Policy(b"no-cache" not in control, True)',
        "Policy(True, True)",
        (AGAIN + "test_no_store_keeps_nothing_and_no_cache_asks_afresh",),
    ),
    Mutation(
        "answers leave after their time",
        "service/api/pipeline.py",
        "data, self._cache_seconds)",
        "data, 86_400)",
        (AGAIN + "test_an_answer_is_kept_for_its_time_and_no_longer",),
    ),
    Mutation(
        "large answers are not kept",
        "service/api/pipeline.py",
        "if len(data) <= self._cache_bytes:",
        "if data:",
        (AGAIN + "test_an_answer_over_the_limit_is_not_kept",),
    ),
    Mutation(
        "a kept answer is replayed word by word",
        "service/cache/exact.py",
        "for piece in _PIECE.findall(part.text):",
        "for piece in [part.text]:",
        (AGAIN + "test_a_stream_is_kept_and_replayed_as_a_stream",),
    ),
    Mutation(
        "streams are kept too",
        "service/api/pipeline.py",
        "        collector = Collector() if call.policy.write or scored else None\n",
        "        collector = Collector() if scored else None\n",
        (AGAIN + "test_a_stream_is_kept_and_replayed_as_a_stream",),
    ),
    Mutation(
        "the same question at once is asked once",
        "service/api/flights.py",
        "return self._whole.get(key)",
        "return None",
        (AGAIN + "test_the_same_question_at_once_is_asked_once",),
    ),
    Mutation(
        "the cache is switched off while it runs",
        "service/storage/runtime_settings.py",
        "                apply(value)\n",
        "                pass\n",
        ("tests/service/api/test_runtime.py::test_the_cache_is_switched_on_and_off_at_every_node",),
    ),
    # --- several readers of one answer
    Mutation(
        "a leader that leaves cuts no follower off",
        "service/api/flights.py",
        "        if not self._followers:\n            exchange.task.cancel()",
        "        if True:\n            exchange.task.cancel()",
        (FLIGHTS + "test_a_leader_whose_client_leaves_answers_its_followers",),
    ),
    Mutation(
        "of a shared stream one reader pays",
        "service/api/flights.py",
        'call.free, call.cache = True, "shared"',
        'call.free, call.cache = False, "shared"',
        (FLIGHTS + "test_readers_of_one_stream_see_the_same_whenever_they_came",),
    ),
    Mutation(
        "a stream that nobody reads any more is closed, also between two events",
        "service/api/flights.py",
        "                await self._events.aclose()\n",
        "                pass\n",
        (STREAMS + "test_when_all_readers_leave_between_two_events_the_provider_is_hung_up_on",),
    ),
    Mutation(
        "who joins a shared stream when its client has left cuts nobody",
        "service/api/flights.py",
        "                if exchange.disconnected:  # also one that had left before it came\n",
        "                if False:\n",
        (STREAMS + "test_who_joins_after_its_client_has_left_cuts_nobody",),
    ),
    Mutation(
        "a shared stream that is cancelled is paid once",
        "service/api/flights.py",
        "        self._error, self.open = error, False\n        self._settle()\n",
        "        self._error, self.open = error, False\n",
        (STREAMS + "test_a_stream_that_is_cancelled_while_others_read_is_paid_once",),
    ),
    Mutation(
        "nobody joins a stream that has failed",
        "service/api/flights.py",
        "self._error, self.open = error, False",
        "self._error = error",
        (STREAMS + "test_nobody_joins_a_stream_that_has_failed",),
    ),
    Mutation(
        "who was answered pays, when the leader has left",
        "service/api/flights.py",
        "if self._followers and isinstance(outcome, Entry) and not leader.free:",
        "if False:",
        (FLIGHTS + "test_a_call_is_paid_once_and_by_a_key_that_was_answered",),
    ),
)  # fmt: skip
