"""Pulumi program: what `dashboards/json` says, in a Grafana. Run it by `python -m dashboards upload`.

It is a stack of its own because Amazon Managed Grafana's tokens are short-lived (at most 30 days): this
one is minted for the run, reaches the provider through `GRAFANA_AUTH`, and stands in no state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pulumiverse_grafana as grafana

DASHBOARDS = Path(__file__).resolve().parents[1] / "json"
FOLDER = "superagent"
SOURCE = "superagent-prometheus"


def source_options(region: str) -> dict[str, Any]:
    """How Grafana asks the metric store: signed by the workspace's own role when it is Amazon's."""
    options: dict[str, Any] = {"httpMethod": "POST", "timeInterval": "15s"}
    if region:
        options |= {"sigV4Auth": True, "sigV4AuthType": "ec2_iam_role", "sigV4Region": region}
    return options


def dashboard(path: Path) -> str:
    """A dashboard's text with this Grafana's data source chosen; its uid, the alerts' link, stays."""
    board = json.loads(path.read_text())
    for variable in board["templating"]["list"]:
        if variable["name"] == "datasource":
            variable["current"] = {"text": "SuperAgent", "value": SOURCE, "selected": True}
    return json.dumps(board, sort_keys=True)


def main() -> None:
    """Folder, data source, dashboards."""
    config = pulumi.Config("superagent-dashboards")
    server = grafana.Provider("grafana", url=config.require("grafanaUrl"))
    options = pulumi.ResourceOptions(provider=server)
    folder = grafana.oss.Folder("superagent", uid=FOLDER, title="SuperAgent", opts=options)
    grafana.oss.DataSource(
        "prometheus",
        uid=SOURCE,
        name="SuperAgent",
        type="prometheus",
        url=config.require("prometheusUrl"),
        json_data_encoded=json.dumps(source_options(config.get("region") or ""), sort_keys=True),
        opts=options,
    )
    for path in sorted(DASHBOARDS.glob("*.json")):
        grafana.oss.Dashboard(
            path.stem,
            config_json=dashboard(path),
            folder=folder.uid,
            # The committed JSON is the truth: an edit in the browser is overwritten by the next run.
            overwrite=True,
            opts=options,
        )
    pulumi.export("folder", folder.uid)


if __name__ == "__main__":
    main()
