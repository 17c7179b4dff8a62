"""The workflows: linted, pinned, least rights, and the commands inside them exist."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import click
import pytest

from infra import cli
from infra.delivery.values import values
from infra.home import CHECKOUT
from infra.preview.estate import configuration as keys_of
from infra.stack import configuration
from infra.stack.identity import SESSION_HOURS, TRUSTED
from tests.delivery.workflows import ACTIONS, FILES, Job, commands, credentials, job, jobs, scripts, workflow

SCRIPTS = Path(sysconfig.get_path("scripts"))
PINNED = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")
ROLE = re.compile(r"\$\{\{ steps\.values\.outputs\.(\w+)_role \}\}")
STACK = re.compile(r"\$\{\{ (?:matrix\.stack|inputs\.stack(?: \|\| 'staging')?) \}\}")
WHOLE = [one for one in jobs() if not one.reusable]


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    assert found, f"{name} is not installed: requirements-dev.txt"
    return found


def test_actionlint_finds_nothing() -> None:
    words = [tool("actionlint"), "-shellcheck", tool("shellcheck"), "-no-color", *map(str, FILES)]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_zizmor_finds_nothing_and_one_thing_is_excused() -> None:
    words = [tool("zizmor"), "--offline", "--no-progress", "--persona", "pedantic", ".github"]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    excuses = [line for path in FILES for line in path.read_text().splitlines() if "zizmor: ignore" in line]
    assert len(excuses) == 1 and "dangerous-triggers" in excuses[0]


def test_the_linters_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / ".github" / "workflows" / "bad.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text(
        "on: pull_request_target\njobs:\n  x:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - uses: actions/checkout@v4\n      - run: echo ${{ github.event.pull_request.title }} $x\n"
    )
    for words in ([tool("actionlint"), str(bad)], [tool("zizmor"), "--offline", "-q", str(bad)]):
        assert subprocess.run(words, capture_output=True, check=False).returncode != 0


def test_every_action_is_pinned_by_commit_and_says_its_tag() -> None:
    found: dict[str, set[str]] = {}
    for path in [*FILES, *ACTIONS]:
        for line in path.read_text().splitlines():
            if "uses:" in line and "uses: ./" not in line:
                match = PINNED.search(line)
                assert match, f"{path.name}: {line.strip()}"
                found.setdefault(match[1], set()).add(f"{match[2]} {match[3]}")
    assert {name for name, pins in found.items() if len(pins) > 1} == set()
    assert len(found) == 6


@pytest.mark.parametrize("one", jobs(), ids=str)
def test_every_job_ends_and_asks_for_what_it_needs_alone(one: Job) -> None:
    assert workflow(one.file)["permissions"] == {}
    assert set(one.body["permissions"].values()) <= {"read", "write"}
    assert ("id-token" in one.body["permissions"]) == bool(credentials(one) or one.reusable)
    if not one.reusable:
        assert 0 < one.body["timeout-minutes"] <= 360


@pytest.mark.parametrize("one", WHOLE, ids=str)
def test_no_checkout_leaves_its_token_behind(one: Job) -> None:
    for step in one.steps:
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_the_code_of_a_pull_request_never_sees_a_credential() -> None:
    assert workflow("preview.yml")["on"] == {"pull_request": None}
    text = (CHECKOUT / ".github/workflows/preview.yml").read_text()
    assert "secrets." not in text and "github.token" not in text
    assert job("preview.yml", "offline").body["permissions"] == {"contents": "read"}
    assert "environment" not in job("preview.yml", "offline").body
    trusted = job("preview.yml", "pulumi").body
    assert "github.event.pull_request.head.repo.full_name == github.repository" in trusted["if"]
    for path in FILES:
        assert "pull_request_target" not in path.read_text()
        if "pull_request" in workflow(path.name)["on"]:
            assert "secrets." not in path.read_text()


def test_the_second_stage_runs_nothing_of_the_pull_request() -> None:
    second = job("preview-comment.yml", "comment")
    assert set(second.body["permissions"]) == {"actions", "contents", "pull-requests"}
    checkouts = [step for step in second.steps if "checkout" in step.get("uses", "")]
    assert [step["with"]["ref"] for step in checkouts] == ["${{ github.event.repository.default_branch }}"]
    ran = [step["run"] for step in second.steps if "run" in step]
    assert ran == ['python3 -m infra.delivery.comment --folder "$FOLDER" --head "$HEAD"']
    download = next(step["with"] for step in second.steps if "download-artifact" in step.get("uses", ""))
    # Unpacked outside the checkout: an artifact cannot put a module in the way of ours.
    assert download["path"].startswith("${{ runner.temp }}/")


@pytest.mark.parametrize("one", [one for one in WHOLE if credentials(one)], ids=str)
def test_a_job_takes_a_role_that_trusts_its_github_environment(one: Job) -> None:
    (given,) = credentials(one)
    role = ROLE.fullmatch(given["role-to-assume"])
    assert role
    environment = one.body["environment"]
    assert STACK.sub("{}", environment) in TRUSTED[role[1]]


def test_every_role_of_a_workflow_is_used() -> None:
    asked = {ROLE.fullmatch(given["role-to-assume"])[1] for one in WHOLE for given in credentials(one)}  # type: ignore[index]
    assert asked == set(TRUSTED)


@pytest.mark.parametrize("one", [one for one in WHOLE if credentials(one)], ids=str)
def test_no_job_asks_for_a_longer_session_than_its_role_gives(one: Job) -> None:
    (given,) = credentials(one)
    role = ROLE.fullmatch(given["role-to-assume"])
    assert role
    assert int(given["role-duration-seconds"]) <= SESSION_HOURS.get(role[1], 1) * 3600


def test_drift_is_looked_at_before_the_plan_and_the_approved_plan_is_what_is_done() -> None:
    plan = [step.get("name") for step in job("deploy-stack.yml", "plan").steps]
    assert plan.index("Drift") < plan.index("Plan")
    up = job("deploy-stack.yml", "up")
    assert up.body["needs"] == "plan"
    names = [step.get("name") for step in up.steps]
    assert names.index("The plan is still the one that was approved") + 1 == names.index("Up")
    assert [job("deploy.yml", name).body.get("needs") for name in ("dev", "staging", "prod")] == [
        None, "dev", "staging",
    ]  # fmt: skip


def test_whatever_locks_a_stack_shares_a_group_with_unlock() -> None:
    for file, name in (("deploy-stack.yml", "plan"), ("deploy-stack.yml", "up"), ("drift.yml", "drift"),
                       ("unlock.yml", "unlock")):  # fmt: skip
        group = job(file, name).body["concurrency"]
        assert STACK.sub("{}", group["group"]) == "stack-{}"
        assert group["cancel-in-progress"] is False
    locking = {str(job(*where)) for where in (("deploy-stack.yml", "plan"), ("deploy-stack.yml", "up"),
                                              ("drift.yml", "drift"))}  # fmt: skip
    locks = {
        where.partition("[")[0]
        for where, text in scripts()
        if re.search(r"pulumi (up|refresh|destroy)", text)
    }
    assert locks <= locking


def test_the_pulumi_cli_is_the_version_of_the_sdk() -> None:
    pins = (CHECKOUT / "infra/requirements.txt").read_text()
    used = [
        step["with"]["pulumi-version"]
        for one in WHOLE
        for step in one.steps
        if step.get("uses", "").startswith("pulumi/actions@")
    ]
    assert set(used) == {re.search(r"^pulumi==(\S+)$", pins, re.MULTILINE)[1]}  # type: ignore[index]


def options(command: click.Command) -> set[str]:
    return {option for one in command.params for option in (*one.opts, *one.secondary_opts)}


def find(words: list[str]) -> tuple[click.Command, list[str]] | None:
    """The command of ours that these words call, and the words after its name."""
    if words[0].endswith("/superagent"):
        command: Any = cli.main
        rest = words[1:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            command = command.get_command(click.Context(command), rest[0])
            assert command is not None, words
            rest = rest[1:]
        return command, rest
    if words[0].endswith("/python") and words[1] == "-m":
        module = words[2] if words[2] != "dashboards" and words[2] != "alerts" else f"{words[2]}.__main__"
        found = getattr(importlib.import_module(module), "main", None)
        rest = words[3:]
        if isinstance(found, click.Group):
            found, rest = found.get_command(click.Context(found), rest[0]), rest[1:]
        return (found, rest) if isinstance(found, click.Command) else None
    return None


def test_the_scripts_call_commands_and_options_that_exist() -> None:
    seen = 0
    for where, script in scripts():
        for words in commands(script):
            found = find(words) if len(words) > 1 else None
            if found is None:
                continue
            command, rest = found
            own = rest[: rest.index("--")] if "--" in rest else rest
            unknown = {word.partition("=")[0] for word in own if word.startswith("--")} - options(command)
            assert unknown == set(), f"{where}: {' '.join(words)}"
            if "--" in rest:  # what `drive` hands on
                verb, *more = rest[rest.index("--") + 1 :]
                release: Any = cli.main.get_command(click.Context(cli.main), "release")
                handed = {word for word in more if word.startswith("--")}
                assert handed <= options(release.get_command(click.Context(release), verb)), where
            seen += 1
    assert seen > 25


def test_the_values_that_steps_read_are_written() -> None:
    wanted = configuration.load("prod", keys_of("prod", {}))
    written = set(values(wanted, "123456789012"))
    for path in FILES:
        assert set(re.findall(r"steps\.values\.outputs\.(\w+)", path.read_text())) <= written


def test_the_first_stage_writes_what_the_second_reads(tmp_path: Path) -> None:
    """The script of the offline preview itself, with a stand-in for the tool."""
    script = next(
        step["run"] for step in job("preview.yml", "offline").steps if step.get("name") == "Preview"
    )
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    fake = tmp_path / ".venv" / "bin" / "superagent"
    fake.write_text('#!/bin/sh\necho "## Preview of $3"\nexit 1\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "STACK": "prod", "BASE": "abc", "NUMBER": "12",
             "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # a broken policy fails the job, and the comment still says it
    told = subprocess.run(
        [sys.executable, "-m", "infra.delivery.comment", "--folder", tmp_path, "--head", "a", "--dry-run"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "prod #12\n<!-- superagent:prod -->\n## Preview of prod\n\n"


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", FILES),
        ("vendor.github-actions", ACTIONS),
        ("vendor.dependabot", [CHECKOUT / ".github" / "dependabot.yml"]),
    ],
)
def test_githubs_own_schemas_accept_the_files(schema: str, files: list[Path]) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
