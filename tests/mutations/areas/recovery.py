"""A backup is only what has been restored: whole, compared, kept, and never written over data."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

KEEP: Final = "tests/infra/recovery/test_verify_and_prune.py::"
ROUND: Final = "tests/infra/recovery/test_round_trip.py::"
FAULTS: Final = "tests/infra/recovery/test_faults.py::"
ORDER: Final = "tests/infra/recovery/test_order.py::"
CACHE: Final = "tests/infra/recovery/test_elasticache.py::"
FACTS: Final = "tests/infra/recovery/test_facts.py::"
KILLED: Final = "tests/infra/recovery/test_restore_killed.py::"
RDS: Final = "tests/infra/recovery/test_rds.py::"

ROWS: Final = (
    Mutation(
        "the manifest is written last",
        "infra/recovery/backup.py",
        "    with hold_snapshot(address) as snapshot:\n",
        '    draft.store.put(manifest.manifest_key(draft.kind, draft.id), b"{}")\n'
        "    with hold_snapshot(address) as snapshot:\n",
        (ORDER + "test_the_manifest_is_the_last_object_of_a_backup",),
    ),
    Mutation(
        "a dump that failed is never published",
        "infra/recovery/backup.py",
        "        child.finish()\n    finally:",
        "        pass\n    finally:",
        (ORDER + "test_a_dump_that_fails_is_never_a_backup",),
    ),
    Mutation(
        "an owner that was replaced does not publish",
        "infra/recovery/backup.py",
        "        lease.assert_held()\n",
        "",
        (ORDER + "test_an_owner_that_was_replaced_publishes_nothing",),
    ),
    Mutation(
        "two backups at once are refused",
        "infra/recovery/lease.py",
        'condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}',
        "condition: dict[str, Any] = {}",
        (KEEP + "test_two_backups_at_once_are_refused_and_a_dead_owner_is_replaced",),
    ),
    Mutation(
        "every object's hash is compared when it is read",
        "infra/recovery/store.py",
        "if size != segment.size or digest.hexdigest() != segment.sha256:",
        "if size != segment.size:",
        (KEEP + "test_one_flipped_bit_is_found",),
    ),
    Mutation(
        "a damaged manifest is noticed",
        "infra/recovery/manifest.py",
        "    if not intact:\n",
        "    if False:\n",
        (KEEP + "test_a_damaged_manifest_is_told_from_one_of_a_newer_tool",),
    ),
    Mutation(
        "a manifest from the future is refused",
        "infra/recovery/manifest.py",
        '    if body.get("format") != FORMAT:\n',
        "    if False:\n",
        (KEEP + "test_a_damaged_manifest_is_told_from_one_of_a_newer_tool",),
    ),
    Mutation(
        "a missing object is damage",
        "infra/recovery/verify.py",
        '            verdict.damaged.append(f"{segment.key} is missing from bucket {store.bucket}.")\n',
        "",
        (KEEP + "test_truncated_missing_and_exchanged_objects_are_found",),
    ),
    Mutation(
        "a damaged backup does not count as verified",
        "infra/recovery/ledger.py",
        "        if ledger.verified_at and not ledger.damaged:\n",
        "        if True:\n",
        (KEEP + "test_one_flipped_bit_is_found",),
    ),
    Mutation(
        "what was verified is read again in time",
        "infra/recovery/ledger.py",
        "REREAD: Final = timedelta(days=7)",
        "REREAD: Final = timedelta(days=70)",
        (KEEP + "test_the_ledger_saves_reading_until_it_is_a_week_old",),
    ),
    Mutation(
        "prune keeps the newest verified backup",
        "infra/recovery/retention.py",
        "if newest_verified is None or entry.id == newest_verified:",
        "if newest_verified is None:",
        (KEEP + "test_prune_removes_old_backups_but_never_the_newest_verified",),
    ),
    Mutation(
        "prune removes nothing while nothing is verified",
        "infra/recovery/retention.py",
        "if newest_verified is None or entry.id == newest_verified:",
        "if entry.id == newest_verified:",
        (KEEP + "test_prune_removes_nothing_while_nothing_is_verified",),
    ),
    Mutation(
        "prune keeps the base that the window begins in",
        "infra/recovery/retention.py",
        'elif kind == "base" and entry.modified == covering:',
        "elif False:",
        (KEEP + "test_the_base_that_the_window_begins_in_is_kept",),
    ),
    Mutation(
        "prune obeys locks",
        "infra/recovery/prune.py",
        "outcome.decisions.append(_obey_locks(store, decision, now))",
        "outcome.decisions.append(decision)",
        (KEEP + "test_prune_obeys_object_lock_and_legal_hold",),
    ),
    Mutation(
        "a dry run of prune removes nothing",
        "infra/recovery/prune.py",
        "    if not dry_run:\n        for decision in outcome.decisions:\n",
        "    if True:\n        for decision in outcome.decisions:\n",
        (KEEP + "test_prune_removes_old_backups_but_never_the_newest_verified",),
    ),
    Mutation(
        "a target with anything in it is refused",
        "infra/recovery/load.py",
        "            _refuse_content(connection, name)\n",
        "",
        (ROUND + "test_a_target_with_anything_in_it_is_refused",),
    ),
    Mutation(
        "a restore that differs from its backup is not called done",
        "infra/recovery/restore.py",
        "    if wrong:\n        raise OperationFailed(f\"Database {name} is not what was backed up:",
        "    if False:\n        raise OperationFailed(f\"Database {name} is not what was backed up:",
        (ROUND + "test_a_restore_that_differs_from_the_backup_is_not_called_done",),
    ),
    Mutation(
        "content is compared, not rows alone",
        "infra/recovery/fingerprint.py",
        "        elif want.content != have.content:\n",
        "        elif False:\n",
        (ROUND + "test_a_restore_that_differs_from_the_backup_is_not_called_done",),
    ),
    Mutation(
        "the pointer is switched after the comparison",
        "infra/recovery/postgres_restore.py",
        "        result = asdict(_restore(place, manifest, admin, names))\n",
        "        if request.switch:\n            cutover.switch(place, cutover.meant(place, names[0]))\n"
        "        result = asdict(_restore(place, manifest, admin, names))\n",
        (ORDER + "test_the_pointer_stays_when_the_restored_data_differ",),
    ),
    Mutation(
        "the pointer is read back",
        "infra/recovery/cutover.py",
        "    if pointer(place) != to:\n",
        "    if False:\n",
        (ORDER + "test_a_pointer_that_does_not_take_is_noticed",),
    ),
    Mutation(
        "a wrong key is refused",
        "infra/recovery/envelope.py",
        '        raise IntegrityError(\n            f"Archive {name} does not decrypt: wrong key, or its bytes were cut or changed."\n        ) from None',
        "        return frame",
        (FAULTS + "test_a_wrong_key_is_refused_whichever_way_it_is_wrong",),
    ),
    Mutation(
        "a key that KMS does not open is told",
        "infra/recovery/envelope.py",
        "    except kms.exceptions.ClientError as refused:\n",
        "    except ZeroDivisionError as refused:\n",
        (FAULTS + "test_a_wrong_key_is_refused_whichever_way_it_is_wrong",),
    ),
    Mutation(
        "objects are encrypted under the bucket's key",
        "infra/recovery/store.py",
        '**({"SSEKMSKeyId": key} if key else {})}',
        "}",
        (ROUND + "test_every_object_is_encrypted_under_the_key_of_the_bucket",),
    ),
    Mutation(
        "an instance that came back different is not called restored",
        "infra/recovery/rds.py",
        "    if left:\n",
        "    if False:\n",
        (RDS + "test_an_instance_that_stays_different_is_not_called_restored",),
    ),
    Mutation(
        "what a killed restore has at work is ended before it is finished",
        "infra/recovery/load.py",
        "            _end_sessions(connection)\n",
        "            pass\n",
        (KILLED + "test_what_a_killed_restore_still_has_at_work_in_the_target_is_ended_first",),
    ),
    Mutation(
        "a program dies with the tool that started it",
        "infra/local/children.py",
        "    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)\n",
        "    pass\n",
        (KILLED + "test_a_program_dies_with_the_tool_that_started_it",),
    ),
    Mutation(
        "a damaged base hides no other",
        "infra/recovery/catalog.py",
        "        except (manifests.IntegrityError, UserError) as failed:\n",
        "        except ZeroDivisionError as failed:\n",
        (FACTS + "test_a_damaged_manifest_hides_no_other_base_of_a_point_in_time",),
    ),
    Mutation(
        "a ledger of another tool vouches for nothing",
        "infra/recovery/ledger.py",
        "    except (ValueError, KeyError, TypeError, AttributeError):\n        return Ledger(",
        "    except ZeroDivisionError:\n        return Ledger(",
        (FACTS + "test_a_ledger_of_another_tool_vouches_for_nothing_and_stops_nobody",),
    ),
    Mutation(
        "an RDS instance that no restore made is refused",
        "infra/recovery/rds.py",
        '        if mark not in describe(rds, target).get("TagList", []):\n',
        "        if False:\n",
        ("tests/infra/recovery/test_rds_restore.py::test_an_instance_that_no_restore_made_is_not_taken_for_one",),
    ),
    Mutation(
        "a replication group that no restore made is refused",
        "infra/recovery/elasticache.py",
        '    if found and mark not in cache.list_tags_for_resource(ResourceName=made["ARN"])["TagList"]:\n',
        "    if False:\n",
        (CACHE + "test_a_cache_comes_back_from_its_snapshot_and_a_second_try_goes_on",),
    ),
)  # fmt: skip
