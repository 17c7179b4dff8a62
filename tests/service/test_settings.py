"""Settings: what is wrong is said in one sentence, with the way out, and never with a secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import SettingsError, load

LEAST = {"SUPERAGENT_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1/x"}


def problem(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load({**LEAST, **{f"SUPERAGENT_{name}": value for name, value in environ.items()}})
    return str(caught.value)


def test_the_least_is_a_database() -> None:
    assert load(LEAST).port == 8080
    with pytest.raises(SettingsError, match="SUPERAGENT_DATABASE_URL is required"):
        load({})


def test_an_unknown_name_is_refused_with_the_one_that_was_meant() -> None:
    assert problem(PROT="1") == "SUPERAGENT_PROT is not a setting: did you mean SUPERAGENT_PORT?"


def test_other_programs_variables_are_none_of_our_business() -> None:
    load({**LEAST, "SUPERAGENT_HOME": "/x", "PATH": "/bin", "SUPER": "1"})


def test_every_problem_is_named_at_once() -> None:
    text = problem(PORT="99999", LOG_LEVEL="loud", NOPE="1")
    assert len(text.splitlines()) == 3
    assert "SUPERAGENT_PORT" in text
    assert "SUPERAGENT_LOG_LEVEL" in text


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://from-file\n")
    settings = load({"SUPERAGENT_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert settings.database_url.get_secret_value() == "postgresql://from-file"


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    assert "cannot read" in problem(REDIS_URL_FILE=str(tmp_path / "missing"))


def test_value_and_file_together_are_refused(tmp_path: Path) -> None:
    assert "both set" in problem(DATABASE_URL_FILE=str(tmp_path / "x"))


def test_secrets_are_not_shown() -> None:
    assert "hunter2" not in repr(load(LEAST))
    assert "hunter2" not in problem(PORT="x")


def test_the_command_ends_with_2_and_one_sentence() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SUPERAGENT_")}
    done = subprocess.run(
        [sys.executable, "-m", "service"],
        env={**environ, **LEAST, "SUPERAGENT_PROT": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "SUPERAGENT_PROT is not a setting: did you mean SUPERAGENT_PORT?\n"
