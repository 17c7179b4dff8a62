"""The Pulumi program under Pulumi's own test monitor, and the token that its run gets."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from dashboards.files import FOLDER, boards
from dashboards.grafana_token import ACCOUNT, SECONDS, short_lived

# One run a process (infra/stack/offline.py).
RUN = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from infra.stack.offline import run
found = run("prod", json.loads(sys.argv[1]), lambda one: (one.name + "-id", dict(one.inputs)),
            program=Path("dashboards/managed/__main__.py"))
print(json.dumps({"resources": [asdict(one) for one in found.resources], "outputs": found.outputs}))
"""
CONFIG = {
    "superagent-dashboards:grafanaUrl": "https://g-1.grafana-workspace.eu-central-1.amazonaws.com",
    "superagent-dashboards:prometheusUrl": "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1",
    "superagent-dashboards:region": "eu-central-1",
}


def program(config: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(config)], capture_output=True, text=True, cwd=FOLDER.parents[1]
    )


@pytest.fixture(scope="module")
def resources() -> dict[str, list[dict[str, Any]]]:
    done = program(CONFIG)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout)["resources"]:
        found.setdefault(one["type"].rpartition(":")[2], []).append(one)
    return found


def test_every_dashboard_lands_in_the_folder_under_its_own_uid(resources: Any) -> None:
    uploaded = {one["name"]: one["inputs"] for one in resources["Dashboard"]}
    assert set(uploaded) == {board.uid for board in boards()}
    for uid, inputs in uploaded.items():
        assert json.loads(inputs["configJson"])["uid"] == uid
        assert inputs["folder"] == "superagent"
        assert inputs["overwrite"] is True


def test_dashboards_open_on_the_data_source_that_is_made_with_them(resources: Any) -> None:
    (source,) = resources["DataSource"]
    for one in resources["Dashboard"]:
        variables = json.loads(one["inputs"]["configJson"])["templating"]["list"]
        assert variables[0]["current"]["value"] == source["inputs"]["uid"]


def test_the_metric_store_is_asked_with_signed_requests(resources: Any) -> None:
    (source,) = resources["DataSource"]
    options = json.loads(source["inputs"]["jsonDataEncoded"])
    assert options["sigV4Auth"] is True
    assert options["sigV4Region"] == "eu-central-1"
    assert source["inputs"]["url"] == CONFIG["superagent-dashboards:prometheusUrl"]


def test_everything_goes_through_the_configured_server(resources: Any) -> None:
    (server,) = resources["grafana"]
    assert server["inputs"]["url"] == CONFIG["superagent-dashboards:grafanaUrl"]
    assert "auth" not in server["inputs"], "the token comes by the environment and stands in no state"
    for kind in ("Folder", "DataSource", "Dashboard"):
        assert all(server["urn"] in one["provider"] for one in resources[kind])


def test_a_missing_setting_stops_the_program() -> None:
    done = program({key: text for key, text in CONFIG.items() if "grafanaUrl" not in key})
    assert done.returncode != 0
    assert "grafanaUrl" in done.stderr


@pytest.fixture
def grafana() -> Any:
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
    return boto3.client("grafana", region_name="eu-central-1", **keys)


def answers(stub: Stubber, accounts: list[dict[str, str]]) -> None:
    where = {"workspaceId": "g-1", "serviceAccountId": "7"}
    stub.add_response(
        "list_workspace_service_accounts",
        {"serviceAccounts": accounts, "workspaceId": "g-1"},
        {"workspaceId": "g-1"},
    )
    if not accounts:
        stub.add_response(
            "create_workspace_service_account",
            {"id": "7", "name": ACCOUNT, "grafanaRole": "ADMIN", "workspaceId": "g-1"},
            {"workspaceId": "g-1", "name": ACCOUNT, "grafanaRole": "ADMIN"},
        )
    stub.add_response(
        "create_workspace_service_account_token",
        {"serviceAccountToken": {"id": "9", "name": "n", "key": "glsa_secret"}, **where},
    )
    stub.add_response(
        "delete_workspace_service_account_token", {"tokenId": "9", **where}, {"tokenId": "9", **where}
    )


@pytest.mark.parametrize("there", [True, False])
def test_a_token_is_minted_for_one_upload_and_deleted(grafana: Any, there: bool) -> None:
    account = {"id": "7", "name": ACCOUNT, "grafanaRole": "ADMIN", "isDisabled": "false"}
    with Stubber(grafana) as stub:
        answers(stub, [account] if there else [])
        with short_lived(grafana, "g-1") as token:
            assert token == "glsa_secret"
        stub.assert_no_pending_responses()


def test_a_token_is_deleted_when_the_upload_fails(grafana: Any) -> None:
    with Stubber(grafana) as stub:
        answers(stub, [])
        with pytest.raises(RuntimeError, match="no network"), short_lived(grafana, "g-1"):
            raise RuntimeError("no network")
        stub.assert_no_pending_responses()


def test_a_token_that_is_forgotten_dies_within_the_hour() -> None:
    assert SECONDS <= 3600
