"""A report is believed by the key that the environment signs with, and by no other that it may name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.errors import OperationFailed
from infra.recovery import context, drill, facts, report, signing
from infra.recovery.context import Context
from infra.stack.environment import Environment
from infra.stack.outputs import StackOutputs
from tests.infra.recovery.conftest import Cloud
from tests.infra.recovery.test_facts import REPORT, put_report
from tests.parts import REGION

pytestmark = pytest.mark.component


@pytest.fixture
def place(cloud: Cloud, moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """`prod`, with a key in KMS, on a machine that has no key file."""
    monkeypatch.setenv("SUPERAGENT_HOME", str(tmp_path))
    named = dict.fromkeys(("vpc_id", "alb_arn", "alb_dns_name", "listener_arn", "test_listener_arn"), "x")
    outputs = StackOutputs(
        environment="prod", region=REGION, compute="ec2", target_group_arns={}, image_parameters={},
        release_table="release", backup_bucket=cloud.store.bucket, database_pointer="/p",
        alert_topic_arn="x", drill_key=f"kms:{hmac_key(cloud)}", **named,  # type: ignore[arg-type]
    )  # fmt: skip
    made = Context(Environment(outputs, moto_endpoint), cloud.store)
    monkeypatch.setattr(context, "load", lambda *_: made)
    return made


def hmac_key(cloud: Cloud) -> str:
    made = cloud.kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")
    return str(made["KeyMetadata"]["Arn"])


def check(*words: str) -> Any:
    return CliRunner().invoke(main, ["drill", "--stack", "prod", "--check", *words])


def test_the_stacks_key_signs_and_any_machine_can_check(cloud: Cloud, place: Context) -> None:
    mac, by = signing.signer(place)
    assert by == place.env.outputs.drill_key
    cloud.store.put(f"{facts.REPORTS}a.json", json.dumps(report.signed(REPORT, mac, by)).encode())
    done = check("latest")
    assert done.exit_code == 0, done.output
    assert "Restore drill of test: passed" in done.output
    assert json.loads(check("a", "--json").output)["passed"] is True


def test_a_report_signed_by_a_key_of_its_own_is_not_believed(cloud: Cloud, place: Context) -> None:
    theirs = hmac_key(cloud)
    forged = report.signed(REPORT, report.kms_mac(cloud.kms, theirs)[0], f"kms:{theirs}")
    cloud.store.put(f"{facts.REPORTS}a.json", json.dumps(forged).encode())
    done = check("latest")
    assert (done.exit_code, "do not believe it" in done.output) == (1, True), done.output
    assert check("latest", "--sign-with", theirs).exit_code == 0


def test_a_report_that_is_not_there_or_no_report_is_told(cloud: Cloud, place: Context) -> None:
    done = check("latest")
    assert (done.exit_code, "run `superagent drill`" in done.output) == (2, True), done.output
    cloud.store.put(f"{facts.REPORTS}a.json", b"[]")
    assert (check("b").exit_code, check("a").exit_code) == (2, 1)


def test_without_a_key_to_check_with_nothing_is_said_about_a_report(cloud: Cloud, place: Context) -> None:
    """A stack of before the key: the report was signed by a file of another machine."""
    old = replace(
        place, env=replace(place.env, outputs=replace(place.env.outputs, drill_key="file:drill_key"))
    )
    assert signing.checker(old) is None
    put_report(cloud.store, "a", True, lambda data: b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "load", lambda *_: old)
        done = check("latest")
    assert (done.exit_code, "not on this machine" in done.output) == (2, True), done.output
    mac, by = signing.signer(old)
    signature, check_here = mac(b"x"), signing.checker(old)
    assert (by, check_here is not None and check_here(b"x", signature)) == ("file:drill_key", True)


def test_kms_that_does_not_answer_is_no_forgery(cloud: Cloud, place: Context) -> None:
    _, verify = report.kms_mac(cloud.kms, "arn:aws:kms:eu-central-1:123456789012:key/none")
    with pytest.raises(OperationFailed, match="KMS does not check"):
        verify(b"x", b"y" * report.SIZE)


def test_a_drill_that_passed_has_passed_also_when_its_metrics_cannot_be_read(
    cloud: Cloud, place: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of work, and a report that is signed and kept: no listing that fails may make it a failure."""

    def away(self: facts.Bucket) -> None:
        raise OperationFailed("Could not list bucket b: SlowDown.")

    monkeypatch.setattr(facts.Bucket, "drills", away)
    monkeypatch.setattr(drill, "in_clean_process", lambda job: report.document(REPORT))
    done = CliRunner().invoke(main, ["drill", "--stack", "prod"])
    assert done.exit_code == 0, done.output
    assert "Restore drill of test: passed" in done.output
    assert "SlowDown" in done.output
    assert check("latest").exit_code == 0


@pytest.mark.parametrize("signature", [5, None, ["x"], "é", "", "AAAA", "A" * 40_000])
def test_a_signature_that_is_none_is_not_believed(cloud: Cloud, place: Context, signature: Any) -> None:
    mac, by = signing.signer(place)
    broken = {**report.signed(REPORT, mac, by), "signature": signature}
    cloud.store.put(f"{facts.REPORTS}a.json", json.dumps(broken).encode())
    done = check("latest")
    assert (done.exit_code, "do not believe it" in done.output) == (1, True), done.output
