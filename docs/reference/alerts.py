"""Every alert with the page it leads to."""

from __future__ import annotations

from alerts.groups import GROUPS
from docs.reference.markdown import code, page, table


def render() -> str:
    """The page."""
    rows = [
        (
            f"[{rule['alert']}](../../alerts/runbooks/{rule['alert']}.md)",
            rule["labels"]["severity"],
            rule["labels"].get("team", "–"),
            rule["for"],
            code(" ".join(str(rule["expr"]).split())),
        )
        for group in GROUPS.values()
        for rule in group.rules
        if "alert" in rule
    ]
    about = (
        "Critical pages at any hour, high in office hours; warning is a ticket, info a note in the channel."
    )
    return page("Alerts", about, table(("Alert", "Severity", "Team", "For", "Condition"), rows))
