"""Every answered request has exactly one row, whatever dies."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

JOURNAL: Final = "tests/service/storage/test_journal.py::"
SHIPPER: Final = "tests/service/storage/test_shipper.py::"
PROMISES: Final = "tests/service/api/test_ledger.py::"

ROWS: Final = (
    Mutation(
        "a row is on disk when append returns",
        "service/storage/journal.py",
        "        self._write(row.line(BOOKED))\n",
        "        self.unwritten.append(row.line(BOOKED))\n",
        (JOURNAL + "test_a_row_is_on_disk_when_append_returns", SHIPPER + "test_rows_arrive_once_and_in_full"),
    ),
    Mutation(
        "the row is in the journal before the client has its answer",
        "service/api/chat.py",
        '        pipeline.end(call, "ok")  # in the journal before the client has its answer\n'
        "        await exchange.reply(200, json_lines(call), rendered)",
        '        await exchange.reply(200, json_lines(call), rendered)\n        pipeline.end(call, "ok")',
        (PROMISES + "test_the_row_is_in_the_journal_before_the_answer_ends",),
    ),
    Mutation(
        "the row of a stream is in the journal before the stream ends",
        "service/api/streaming.py",
        '        pipeline.end(call, "ok")\n        await exchange.finish(done)',
        '        await exchange.finish(done)\n        pipeline.end(call, "ok")',
        (PROMISES + "test_the_row_is_in_the_journal_before_the_answer_ends",),
    ),
    Mutation(
        "a call is booked once, however often it ends",
        "service/api/pipeline.py",
        "        if call.outcome:\n            return\n",
        "",
        (PROMISES + "test_a_call_is_booked_once_however_often_it_ends",),
    ),
    Mutation(
        "a stream that broke is booked as cut",
        "service/api/streaming.py",
        '        pipeline.end(call, "cut")\n',
        '        pipeline.end(call, "ok")\n',
        (PROMISES + "test_a_stream_that_breaks_is_booked_as_cut",),
    ),
    Mutation(
        "a stream that was open when the process died is booked as crashed",
        "service/storage/journal.py",
        "        self._settle(segments)\n",
        "",
        (JOURNAL + "test_a_stream_that_was_open_when_the_process_died_is_booked_as_crashed_once",),
    ),
    Mutation(
        "a torn last line is skipped",
        "service/storage/journal.py",
        '[:-1]:\n        fields = line.split(b"\\t")\n        if len(fields) == 1 + len(COLUMNS):',
        ':\n        fields = line.split(b"\\t")\n        if fields[0]:',
        (JOURNAL + "test_a_torn_last_line_is_skipped_and_the_next_start_goes_on",),
    ),
    Mutation(
        "half a line is not shipped",
        "service/storage/shipper.py",
        'end = data.rfind(b"\\n") + 1',
        "end = len(data)",
        (SHIPPER + "test_half_a_line_is_left_where_it_is",),
    ),
    Mutation(
        "two processes cannot share a journal",
        "service/storage/journal.py",
        "            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "",
        (JOURNAL + "test_two_processes_cannot_share_a_folder",),
    ),
    Mutation(
        "a full disk keeps rows in memory",
        "service/storage/journal.py",
        "        self.unwritten.append(line)\n",
        "",
        (JOURNAL + "test_a_full_disk_keeps_rows_in_memory_until_it_takes_them",),
    ),
    Mutation(
        "part of a line is taken back from a full disk",
        "service/storage/journal.py",
        "                os.ftruncate(self._descriptor, self._size)\n",
        "                pass\n",
        (JOURNAL + "test_a_full_disk_keeps_rows_in_memory_until_it_takes_them",),
    ),
    Mutation(
        "rows shipped twice are booked once",
        "service/storage/shipper.py",
        "    on conflict (request_id) do nothing\n    returning key_id, at, cost_usd\n)\ninsert into key_usage (key_id, month, requests, cost_usd, last_used_at)\nselect key_id, date_trunc('month', at at time zone 'utc')::date, count(*)",
        "    on conflict (request_id) do update set at = excluded.at\n    returning key_id, at, cost_usd\n)\ninsert into key_usage (key_id, month, requests, cost_usd, last_used_at)\nselect key_id, date_trunc('month', at at time zone 'utc')::date, count(*)",
        (SHIPPER + "test_a_death_between_commit_and_position_ships_twice_and_books_once",),
    ),
    Mutation(
        "a row that Postgres refuses does not block the rest",
        "service/storage/shipper.py",
        "                    await self._store_alone(line)\n",
        "                    await self._copy(line)\n",
        (SHIPPER + "test_what_postgres_refuses_is_put_aside_and_does_not_block_the_rest",),
    ),
    Mutation(
        "while Postgres is away rows wait",
        "service/storage/shipper.py",
        "            await self._store(data)\n",
        "            with contextlib.suppress(StoreUnavailable):\n                await self._store(data)\n",
        (SHIPPER + "test_while_postgres_is_away_rows_wait",),
    ),
    Mutation(
        "a segment in which an open stream began stays",
        "service/storage/shipper.py",
        "min(self._position.segment, self._journal.segment, oldest_open)",
        "min(self._position.segment, self._journal.segment)",
        (SHIPPER + "test_shipped_segments_go_away_but_not_while_a_stream_of_theirs_is_open",),
    ),
    Mutation(
        "shipping goes on after an error that nobody foresaw",
        "service/background.py",
        "        except Exception as error:\n",
        "        except OSError as error:\n",
        ("tests/service/test_background.py::test_rows_are_shipped_after_a_drivers_own_error",),
    ),
    Mutation(
        "an account sees its own usage only",
        "service/api/usage.py",
        'admin = principal.may("admin")',
        "admin = True",
        ("tests/service/api/test_admin.py::test_usage_is_grouped_and_an_account_sees_only_its_own[redis]",),
    ),
    Mutation(
        "reports are read from the replica while it answers",
        "service/storage/reports.py",
        "if replica is not None and replica.available:",
        "if replica is not None and not replica.available:",
        ("tests/service/storage/test_replica.py::test_both_reports_are_read_from_the_replica",),
    ),
    Mutation(
        "a replica that is far behind is not read",
        "service/storage/reports.py",
        'return bool(found["behind"])',
        "return False",
        ("tests/service/storage/test_replica.py::test_a_replica_that_is_far_behind_is_not_read",),
    ),
)  # fmt: skip
