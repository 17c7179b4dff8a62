"""Shell completion: the script works in the shell it is for, and follows the table of verbs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra import cli, completion
from infra.home import CHECKOUT


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which `superagent` is this checkout's."""
    folder = tmp_path_factory.mktemp("bin")
    tool = folder / "superagent"
    # The name that the shell called is how click knows that it is asked for completions.
    tool.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from infra.cli import main\nmain(prog_name='superagent')\n"
    )
    tool.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def completed(path: str, *words: str) -> list[str]:
    """What bash offers after these words, the last of which is being typed."""
    script = completion.script("bash") + (
        '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _superagent_completion superagent\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_completes_verbs_and_their_subcommands(path: str) -> None:
    assert completed(path, "superagent", "re") == ["release", "restore"]
    assert "start" in completed(path, "superagent", "release", "st")


def test_bash_completes_options_and_their_values(path: str) -> None:
    assert completed(path, "superagent", "preview", "--format", "m") == ["markdown", "mermaid"]


def test_completing_a_verb_imports_none_of_them() -> None:
    code = (
        "import sys; from infra.cli import main\n"
        "import click\n"
        "found = main.shell_complete(click.Context(main), '')\n"
        "heavy = [name for name in sys.modules if name.startswith(('infra.', 'boto3', 'pulumi'))]\n"
        "print(len(found), heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{len(cli.VERBS)} ['infra.cli']"


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_shell_gets_a_script_that_it_can_read(shell: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.main, ["completion", shell])
    assert done.exit_code == 0
    assert completion.VARIABLE in done.stdout
    script = tmp_path / "script"
    script.write_text(done.stdout)
    if binary := shutil.which(shell):
        checked = subprocess.run([binary, "-n", script], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_an_unknown_shell_is_refused_with_those_that_are_known() -> None:
    done = CliRunner().invoke(cli.main, ["completion", "tcsh"])
    assert done.exit_code == 2
    assert "bash" in done.stderr


def test_the_version_is_shown_without_an_installation() -> None:
    done = CliRunner().invoke(cli.main, ["--version"])
    assert (done.exit_code, done.stdout) == (0, "superagent 0.1.0\n")
