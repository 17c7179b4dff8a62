"""What stays when a store or a provider goes: real ones are killed, frozen and slowed in these tests."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

DEGRADED: Final = "tests/service/test_degradation.py::"
LINK: Final = "tests/service/storage/test_redis_link.py::"
PROVIDERS: Final = "tests/service/routing/test_degradation.py::"
PROCESS: Final = "tests/service/test_process.py::"
KNOWN: Final = "tests/service/auth/test_authenticator.py::"

ROWS: Final = (
    Mutation(
        "without any Redis limits are local",
        "service/limits/admission.py",
        "if link is None or not link.available:",
        "if link is not None and not link.available:",
        ("tests/service/api/test_chat.py::test_the_official_client_completes",),
    ),
    Mutation(
        "Redis lost in the middle of a request: limits are local",
        "service/limits/admission.py",
        "plan.tag)\n        except StoreUnavailable:",
        "plan.tag)\n        except ZeroDivisionError:",
        (
            "tests/service/limits/test_admission.py::"
            "test_a_redis_that_is_lost_in_the_middle_leaves_local_limits",
        ),
    ),
    Mutation(
        "a Redis that is slow counts as gone",
        "service/storage/redis_link.py",
        "            if self._overdue(connection):\n                await asyncio.sleep(0.005)\n",
        "            if False:\n                await asyncio.sleep(0.005)\n",
        (LINK + "test_a_slow_or_silent_server_counts_as_gone_until_it_is_quick_again",),
    ),
    Mutation(
        "a caller that left does not shift the others' replies",
        "service/storage/redis_link.py",
        "if future is not None and not future.done():\n                    future.set_result(replies[",
        "if future is not None:\n                    future.set_result(replies[",
        (LINK + "test_a_caller_that_left_does_not_shift_the_others_replies",),
    ),
    Mutation(
        "Postgres gone: who is known keeps working",
        "service/auth/authenticator.py",
        "        if now >= known.expires or age > self._stale + self._fresh:\n",
        "        if now >= known.expires or age > self._fresh:\n",
        (KNOWN + "test_while_the_store_is_away_a_known_key_works_and_an_unknown_one_is_not_called_wrong",),
    ),
    Mutation(
        "Postgres gone: who is unknown is answered 503, not 401",
        "service/api/edge.py",
        "    if isinstance(error, StoreUnavailable):\n        return ApiError(\n            503,",
        "    if isinstance(error, StoreUnavailable):\n        return ApiError(\n            401,",
        (PROCESS + "test_a_start_without_postgres_serves_and_calls_nobody_wrong",),
    ),
    Mutation(
        "a start without Postgres serves",
        "service/storage/database.py",
        "        except StoreUnavailable as error:\n",
        "        except ZeroDivisionError as error:\n",
        (PROCESS + "test_a_start_without_postgres_serves_and_calls_nobody_wrong",),
    ),
    Mutation(
        "a slow report is no outage",
        "service/storage/database.py",
        "            elif not isinstance(error, TimeoutError):",
        "            elif True:",
        ("tests/service/storage/test_reports.py::test_slow_reports_hold_nobody_else_up",),
    ),
    Mutation(
        "reports leave the other connections to keys, budgets and the ledger",
        "service/storage/reports.py",
        "asyncio.Semaphore(1)",
        "asyncio.Semaphore(100)",
        ("tests/service/storage/test_reports.py::test_slow_reports_hold_nobody_else_up",),
    ),
    Mutation(
        "every kind of lost Postgres is one kind of failure",
        "service/storage/database.py",
        "    OSError,\n    TimeoutError,\n",
        "    TimeoutError,\n",
        ("tests/service/auth/test_keys.py::test_a_lost_store_is_not_an_unknown_key",),
    ),
    Mutation(
        "a ledger that hangs holds no budget up",
        "service/limits/admission.py",
        "            async with asyncio.timeout(SPENT_SECONDS):\n",
        "            async with asyncio.timeout(3600):\n",
        ("tests/service/limits/test_admission.py::test_a_ledger_that_hangs_holds_no_budget_up",),
    ),
    Mutation(
        "SIGTERM turns readiness red while requests are still taken",
        "service/server.py",
        "    service.drain()\n",
        "",
        (PROCESS + "test_sigterm_turns_readiness_red_finishes_streams_and_ends_with_0",),
    ),
    Mutation(
        "what does not finish in time is told that the server stops",
        "service/api/edge.py",
        'await exchange.fail(ApiError(503, "This server is stopping.", retry_after=1))',
        "pass",
        (PROCESS + "test_what_does_not_finish_within_the_limit_is_ended_with_an_error",),
    ),
    Mutation(
        "a provider that answers garbage costs no answer",
        "service/providers/openai_compatible.py",
        "            return wire.ANSWER.decode(raw)\n        except (msgspec.DecodeError, UnicodeDecodeError):\n",
        "            return wire.ANSWER.decode(raw)\n        except ZeroDivisionError:\n",
        (PROVIDERS + "test_a_broken_provider_costs_no_answer_and_is_soon_left_alone",),
    ),
    Mutation(
        "a provider that hangs costs no answer",
        "service/upstream/connection.py",
        "        if self._loop.time() >= self._due:\n",
        "        if False:\n",
        (PROVIDERS + "test_a_broken_provider_costs_no_answer_and_is_soon_left_alone[False-hangs]",),
    ),
    Mutation(
        "a provider that is not there costs no answer",
        "service/providers/http_client.py",
        '    "connect": "transport",',
        '    "connect": "bad_request",',
        (PROVIDERS + "test_a_provider_that_is_not_there_costs_no_answer",),
    ),
    Mutation(
        "a flood does not fill the memory",
        "service/providers/sse.py",
        "        if self._size > self._limit:\n",
        "        if False:\n",
        ("tests/service/providers/test_sse.py::test_an_event_without_end_is_given_up",),
    ),
    Mutation(
        "an answer that is too large is given up",
        "service/upstream/connection.py",
        "        if not self._streaming and self._unread > self.body_limit:\n",
        "        if False:\n",
        ("tests/service/upstream/test_client.py::test_what_is_cut_broken_or_too_large_is_an_error",),
    ),
    Mutation(
        "a reader that is slow slows the upstream down",
        "service/upstream/connection.py",
        "if self._unread > HIGH_WATER and not self._paused",
        "if False and not self._paused",
        ("tests/service/upstream/test_client.py::test_a_reader_that_is_slow_slows_the_upstream_down",),
    ),
    Mutation(
        "a provider that is well again is asked again",
        "service/routing/breaker.py",
        "            self._become(HALF_OPEN)\n",
        "            return None\n",
        (PROVIDERS + "test_it_recovers_without_a_restart",),
    ),
    Mutation(
        "a look-up that is lost takes the answer of one beside it",
        "service/auth/authenticator.py",
        "            if principal is None:\n                raise\n",
        "            raise\n",
        (
            KNOWN + "test_of_two_that_ask_at_once_the_one_whose_connection_is_lost_takes_the_others_answer",
        ),
    ),
)  # fmt: skip
