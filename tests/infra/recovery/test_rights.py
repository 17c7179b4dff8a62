"""The roles of the scheduled jobs, the exporter and the drill in CI may make every call that these make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.exporter.page import Page
from infra.recovery import context, drill_command, report, signing, telemetry
from tests.infra.recovery.test_facts import REPORT
from tests.infra.recovery.test_runbook_aws import Prod
from tests.infra.recovery.test_runbook_aws import prod as prod
from tests.infra.recovery.test_signing import hmac_key
from tests.infra.rights import of_role, recorded

pytestmark = pytest.mark.component


def run(*words: str) -> None:
    done = CliRunner().invoke(main, [*words, "--stack", "prod"])
    assert done.exit_code == 0, done.output


def test_the_jobs_may_do_what_they_do(prod: Prod) -> None:
    lines = prod.run("superagent schedule run backup --stack prod")
    assert lines["state"] == "done"
    with recorded() as actions:
        run("backup", "create", "--verify")
        run("backup", "create", "--only", "config")
        run("backup", "verify", "--full")
        run("backup", "prune", "--keep", "postgres=1")
        place = context.load("prod")
        telemetry.tell_failure(place, "postgres")
        run("schedule", "run", "backup")
    assert {"s3:PutObject", "s3:GetObjectVersion", "dynamodb:Scan", "rds:DescribeDBInstances"} <= actions
    assert actions - of_role("eks", "backup-job") == set()


@pytest.mark.parametrize(("compute", "role"), [("eks", "backup-job"), ("ec2", "drill")])
def test_a_drill_may_sign_keep_and_check_its_report(prod: Prod, compute: str, role: str) -> None:
    place: Any = context.load("prod")
    outputs = replace(place.env.outputs, drill_key=f"kms:{hmac_key(prod.cloud)}")
    place = replace(place, env=replace(place.env, outputs=outputs))
    with recorded() as actions:
        mac, by = signing.signer(place)
        drill_command._keep(place, REPORT, report.signed(REPORT, mac, by))
        telemetry.tell_drill(place)
    assert {"kms:GenerateMac", "kms:VerifyMac", "s3:PutObject"} <= actions
    assert actions - of_role(compute, role) == set()


def test_the_exporter_may_read_its_page_and_nothing_more(prod: Prod) -> None:
    run("backup", "create", "--only", "config", "--verify")
    place: Any = context.load("prod")
    key = hmac_key(prod.cloud)
    place = replace(place, env=replace(place.env, outputs=replace(place.env.outputs, drill_key=f"kms:{key}")))
    mac, by = signing.signer(place)
    drill_command._keep(place, REPORT, report.signed(REPORT, mac, by))
    with recorded() as actions:
        page = Page(place).render().decode()
    assert 'superagent_drill_last_result{environment="prod"} 1.0' in page
    # S3 opens what it sealed by the reader's right to the key: no call of ours, but a right all the same.
    assert of_role("eks", "exporter") == actions | {"kms:Decrypt"}
