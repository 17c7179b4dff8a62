"""What must never be in the cloud, and configuration that contradicts itself."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

POLICY: Final = "tests/infra/policy/test_rules.py::"
CASE: Final = POLICY + "test_a_broken_resource_gives_exactly_its_finding"
SETTINGS: Final = "tests/infra/stack/test_settings.py::"
BAD: Final = SETTINGS + "test_bad_configuration_is_refused_with_the_reason_and_the_fix"
PROD: Final = SETTINGS + "test_bad_configuration_of_prod_is_refused"

ROWS: Final = (
    Mutation(
        "policy: weights that Pulumi would reset are found",
        "infra/policy/hygiene.py",
        'if forwards and "defaultActions" not in one.ignore_changes:',
        "if False:",
        (POLICY + "test_weights_that_pulumi_would_reset_are_found",),
    ),
    Mutation(
        "policy: data without protect is found",
        "infra/policy/data.py",
        "if one.type in STATEFUL and not one.protect and not replica:",
        "if False:",
        (POLICY + "test_data_without_protect_is_found_in_prod_and_allowed_in_dev",),
    ),
    Mutation(
        "policy: data is encrypted",
        "infra/policy/data.py",
        "if not value or (must_be_true and value is not True):",
        "if not value and must_be_true is None:",
        (CASE,),
    ),
    Mutation(
        "policy: buckets refuse plain HTTP",
        "infra/policy/data.py",
        '    if one.type.endswith(":BucketPolicy") and not refuses_plain_http(one.at("policy", "")):\n',
        "    if False:\n",
        (CASE,),
    ),
    Mutation(
        "policy: nothing is allowed on everything without a reason",
        "infra/policy/access.py",
        'if "*" in resources and writes and sid not in REASONS:',
        "if False:",
        (CASE,),
    ),
    Mutation(
        "policy: workflows are pinned to repository and environment",
        "infra/policy/access.py",
        'if not subjects or any("*" in subject for subject in subjects):',
        "if not subjects:",
        (CASE,),
    ),
    Mutation(
        "policy: no secret stands in the clear",
        "infra/policy/access.py",
        "if SECRET_KEY.search(key) and key not in NOT_SECRET:",
        "if False:",
        (CASE,),
    ),
    Mutation(
        "policy: backups are kept a week at least",
        "infra/policy/data.py",
        'if one.at("backupRetentionPeriod", 0) < 7:',
        'if one.at("backupRetentionPeriod", 0) < 1:',
        (CASE,),
    ),
    Mutation(
        "policy: tags reach instances",
        "infra/policy/hygiene.py",
        'if tag.get("propagateAtLaunch")}',
        "}",
        (CASE,),
    ),
    Mutation(
        "settings: a drain is as long as the longest stream",
        "infra/stack/rules.py",
        "    if delay < stream:\n",
        "    if False:\n",
        (BAD,),
    ),
    Mutation(
        "settings: the old colour lives for stickiness and drain",
        "infra/stack/rules.py",
        "    if settings.old_colour_life_seconds < needed:\n",
        "    if False:\n",
        (BAD,),
    ),
    Mutation(
        "settings: prod never runs without protection",
        "infra/stack/rules.py",
        '    for key in ("protection", "multi_az"):\n',
        '    for key in ("multi_az",):\n',
        (PROD,),
    ),
    Mutation(
        "settings: a copy lies in another region",
        "infra/stack/rules.py",
        "if settings.disaster_recovery and settings.replica_region == settings.region:",
        "if False:",
        (PROD,),
    ),
    Mutation(
        "settings: nothing expires before its lock ends",
        "infra/stack/rules.py",
        "if settings.backup_keep_days < settings.backup_lock_days:",
        "if False:",
        (PROD,),
    ),
    Mutation(
        "settings: steps grow to all traffic",
        "infra/stack/pace.py",
        "        if step <= before or step > 100:\n",
        "        if step > 100:\n",
        (BAD,),
    ),
    Mutation(
        "settings: two AZs at least",
        "infra/stack/rules.py",
        "    if len(found) < 2:\n",
        "    if len(found) < 1:\n",
        (BAD,),
    ),
)  # fmt: skip
