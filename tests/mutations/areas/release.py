"""A release: weights first, nobody's colour torn down, no data no pass, one owner."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

PLAN: Final = "tests/infra/release/test_plan.py::"
WHOLE: Final = "tests/infra/release/test_controller.py::"
JOURNAL: Final = "tests/infra/release/test_journal.py::"
LOOKS: Final = "tests/infra/release/test_last_looks.py::"
ROUTER: Final = "tests/infra/release/test_router.py::"
ANALYSIS: Final = "tests/infra/release/test_analysis.py::"

ROWS: Final = (
    Mutation(
        "an abort restores the weights before anything else",
        "infra/release/plan.py",
        "    return replace(run, phase=Phase.RESTORE, paused_from=None)\n\n\ndef _back_from_pause",
        "    return replace(run, phase=Phase.WITHDRAW, paused_from=None)\n\n\ndef _back_from_pause",
        (PLAN + "test_abort_restores_weights_before_anything_else",),
    ),
    Mutation(
        "a bad version is aborted, and its colour stopped after the weights are back",
        "infra/release/plan.py",
        "    Phase.RESTORE: (Effect.RESTORE_WEIGHTS,),",
        "    Phase.RESTORE: (Effect.STOP_NEW, Effect.RESTORE_WEIGHTS),",
        (PLAN + "test_abort_restores_weights_before_anything_else",),
    ),
    Mutation(
        "an old colour that may be gone is started before it gets traffic",
        "infra/release/plan.py",
        "        EventKind.DRIFT: _drift,\n        EventKind.ABORT: _revive,",
        "        EventKind.DRIFT: _drift,\n        EventKind.ABORT: _back,",
        (PLAN + "test_abort_while_the_old_colour_goes_away_starts_it_again_before_it_gets_traffic",),
    ),
    Mutation(
        "an old colour that was told to go is started again whatever the weights say",
        "infra/release/plan.py",
        "    return replace(run, phase=Phase.RETIRE, retiring=True)",
        "    return replace(run, phase=Phase.RETIRE)",
        (WHOLE + "test_traffic_given_back_by_hand_to_a_colour_that_is_going_away_does_not_take_the_other_one_down",),
    ),
    Mutation(
        "an owner that was overtaken while it looked changes no traffic",
        "infra/release/effects.py",
        "        self.fence()\n        seconds = run.stickiness_seconds",
        "        seconds = run.stickiness_seconds",
        (LOOKS + "test_an_owner_whose_looks_took_longer_than_its_lease_writes_and_stops_nothing",),
    ),
    Mutation(
        "weights are restored only onto a colour that can take them",
        "infra/release/effects.py",
        "if live.weights != run.weights(0) and self.router.healthy(run.old) == 0:",
        "if False:",
        (WHOLE + "test_aborting_a_forced_release_revives_the_old_colour_before_it_gets_traffic",),
    ),
    Mutation(
        "no data pauses and never passes",
        "infra/release/plan.py",
        "EventKind.NO_DATA: to(Phase.WAIT_DATA),",
        "EventKind.NO_DATA: _baked,",
        (PLAN + "test_no_data_pauses_and_then_aborts",),
    ),
    Mutation(
        "no data for too long aborts",
        "infra/release/effects.py",
        'return self._late(self.profile.no_data_patience, f"no data to judge {run.new} by: {judgement.reason}")',
        "return DONE if self._waited(self.profile.no_data_patience) else None",
        (WHOLE + "test_a_bad_version_is_aborted[no metrics]",),
    ),
    Mutation(
        "a colour without metrics is never judged good",
        "infra/release/analysis.py",
        'Check("requests", Verdict.NO_DATA, "no metrics of the new colour arrive")',
        'Check("requests", Verdict.PASS, "no metrics of the new colour arrive")',
        (ANALYSIS + "test_no_metrics_are_never_a_pass",),
    ),
    Mutation(
        "too few requests leave a judgement open",
        "infra/release/analysis.py",
        "Verdict.PASS if new.requests >= min_requests else Verdict.NO_DATA",
        "Verdict.PASS",
        (ANALYSIS + "test_too_few_requests_leave_it_open",),
    ),
    Mutation(
        "an old colour without errors is no free pass",
        "infra/release/analysis.py",
        "    worse = old_hits == 0 or stats.fisher_worse(",
        "    worse = old_hits != 0 and stats.fisher_worse(",
        (ANALYSIS + "test_an_old_colour_without_traffic_is_no_excuse_and_no_trap",),
    ),
    Mutation(
        "one failed check fails the whole",
        "infra/release/verdict.py",
        "        if Verdict.FAIL in found:\n            return Verdict.FAIL\n",
        "",
        (ANALYSIS + "test_failures_win_over_missing_data",),
    ),
    Mutation(
        "the old colour is not torn down while it carries traffic",
        "infra/release/effects.py",
        "    def stop_old(self, run: Run) -> Event | None:\n        if event := guard.drift(run, self.router.read(), 100):\n            return event\n",
        "    def stop_old(self, run: Run) -> Event | None:\n",
        (LOOKS + "test_every_look_sees_weights_that_somebody_changed_and_stops_nothing",),
    ),
    Mutation(
        "the old colour is not stopped while the new one is ill",
        "infra/release/effects.py",
        '            return _failed(f"{run.old} stays up, because {sick}")\n',
        "            pass\n",
        (LOOKS + "test_the_old_colour_is_not_stopped_when_the_new_one_falls_ill_at_the_last_moment",),
    ),
    Mutation(
        "the new colour is not stopped while it carries traffic",
        "infra/release/effects.py",
        "    def stop_new(self, run: Run) -> Event | None:\n        if event := guard.drift(run, self.router.read(), 0):\n            return event\n",
        "    def stop_new(self, run: Run) -> Event | None:\n",
        (LOOKS + "test_every_look_sees_weights_that_somebody_changed_and_stops_nothing",),
    ),
    Mutation(
        "the old colour stays while its clients are pinned to it",
        "infra/release/settings.py",
        "    longest = float(stickiness_seconds + drain_seconds)",
        "    longest = float(drain_seconds)",
        (WHOLE + "test_the_old_colour_stays_while_it_has_open_requests",),
    ),
    Mutation(
        "weights that somebody changed stop the release",
        "infra/release/effects.py",
        "    def _watch_new(self, run: Run) -> Event | None:\n        if event := guard.drift(run, self.router.read()):\n            return event\n",
        "    def _watch_new(self, run: Run) -> Event | None:\n",
        (LOOKS + "test_every_look_sees_weights_that_somebody_changed_and_stops_nothing",),
    ),
    Mutation(
        "written weights are read back",
        "infra/release/router.py",
        "        if live.weights != weights or live.sticky != pin:\n",
        "        if False:\n",
        (ROUTER + "test_a_write_that_does_not_take_is_noticed",),
    ),
    Mutation(
        "the test listener is read back",
        "infra/release/router.py",
        "        if self._test_group() != group:\n",
        "        if False:\n",
        (LOOKS + "test_a_test_listener_that_does_not_follow_is_noticed",),
    ),
    Mutation(
        "weights never send traffic nowhere",
        "infra/release/router.py",
        "if min(weights.values()) < 0 or sum(weights.values()) != 100 or",
        "if",
        (ROUTER + "test_weights_that_lose_traffic_are_refused_before_any_call",),
    ),
    Mutation(
        "the fencing token of a run is checked",
        "infra/release/journal.py",
        'condition = "revision = :seen AND #token <= :token"',
        'condition = "revision = :seen AND (#token <= :token OR #token > :token)"',
        (JOURNAL + "test_a_stale_owner_cannot_write",),
    ),
    Mutation(
        "the revision of a run is checked",
        "infra/release/journal.py",
        'condition = "revision = :seen AND #token <= :token"',
        'condition = "(revision = :seen OR revision <> :seen) AND #token <= :token"',
        (LOOKS + "test_a_run_that_moved_since_it_was_read_is_not_written",),
    ),
    Mutation(
        "a run begins only with the lease",
        "infra/release/partition.py",
        '"#token = :token"',
        '"#token = :token OR #token <> :token"',
        (JOURNAL + "test_a_run_cannot_begin_without_the_lease",),
    ),
    Mutation(
        "one of many operators gets the lease",
        "infra/release/lease.py",
        'ConditionExpression="attribute_not_exists(sk) OR #token = :seen",',
        'ConditionExpression="attribute_not_exists(sk) OR #token = :seen OR #token <> :seen",',
        (JOURNAL + "test_only_one_of_many_operators_gets_the_lease",),
    ),
    Mutation(
        "a lease that holds is not taken",
        "infra/release/lease.py",
        '        if item and item["owner"]["S"] and float(item["expires_at"]["N"]) + SKEW > now:\n',
        "        if False:\n",
        (JOURNAL + "test_a_lease_that_is_not_kept_can_be_taken_over_with_a_larger_token",),
    ),
    Mutation(
        "an owner that slept too long notices before it acts",
        "infra/release/lease.py",
        '            raise LeaseLost(f"{self.owner} lost',
        '            print(f"{self.owner} lost',
        (JOURNAL + "test_an_owner_that_slept_too_long_notices_before_it_acts",),
    ),
    Mutation(
        "a release needs a healthy way back",
        "infra/release/effects.py",
        'if sick and not run.force and run.kind != "rollback":',
        "if False:",
        (WHOLE + "test_nothing_starts_without_a_healthy_way_back_unless_forced",),
    ),
    Mutation(
        "migrations are what the old version can live with",
        "infra/release/effects.py",
        "if (problem := self.migrations.problem(run)) and not run.force:",
        "if (problem := self.migrations.problem(run)) and False:",
        (LOOKS + "test_nothing_starts_with_a_migration_that_the_old_version_cannot_live_with",),
    ),
    Mutation(
        "the migration runs before the new colour exists",
        "infra/release/plan.py",
        "        EventKind.DONE: to(Phase.MIGRATE),\n",
        "        EventKind.DONE: to(Phase.LAUNCH),\n",
        (WHOLE + "test_the_migration_runs_before_the_new_colour_exists",),
    ),
    Mutation(
        "probes end where clients give enough to judge by",
        "infra/release/probes.py",
        " and requests - self._sent < self.enough",
        "",
        ("tests/infra/release/test_probes.py::test_probes_go_on_while_clients_alone_are_too_few_to_judge_by",),
    ),
    Mutation(
        "one instance that dies after a release takes no traffic back",
        "infra/release/effects.py",
        "        if sick and (for_long or self.router.healthy(run.new) == 0):\n",
        "        if sick:\n",
        (LOOKS + "test_an_instance_that_dies_after_the_release_is_replaced_and_no_traffic_goes_back",),
    ),
    Mutation(
        "a new colour that stays ill gives the traffic back",
        "infra/release/effects.py",
        "        if sick and (for_long or self.router.healthy(run.new) == 0):\n",
        "        if False:\n",
        (LOOKS + "test_a_new_colour_that_stays_ill_or_is_gone_gives_the_traffic_back",),
    ),
)  # fmt: skip
