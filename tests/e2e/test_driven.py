"""Every alert is brought about on a running system, or a table says why it cannot be."""

from __future__ import annotations

from alerts.groups import alert_rules
from tests.e2e import test_alerts_arrive, test_alerts_in_time
from tests.e2e.driven import DRIVEN, REASONS

ALWAYS = {"Watchdog"}
"""Fires without being driven; test_alerts_arrive.py sees it arrive."""


def test_every_alert_is_driven_or_has_its_reason() -> None:
    assert test_alerts_arrive.drives is test_alerts_in_time.drives  # both were read
    names = {rule["alert"] for rule in alert_rules()}
    assert names - ALWAYS == DRIVEN | set(REASONS)
    assert not DRIVEN & set(REASONS)
