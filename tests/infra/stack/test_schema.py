"""Pulumi.yaml documents every key, as the settings have it."""

from __future__ import annotations

import yaml

from infra.home import CHECKOUT
from infra.stack.profiles import ENVIRONMENTS, TABLE
from infra.stack.schema import PROJECT_FILE, described, document
from infra.stack.settings import Settings


def test_the_documented_keys_are_the_settings() -> None:
    assert PROJECT_FILE.read_text() == document(), "run python -m infra.stack.schema"


def test_every_key_has_a_meaning() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_profile_row_is_a_key_and_every_stack_has_a_file() -> None:
    assert set(TABLE) <= set(Settings.model_fields)
    for environment in ENVIRONMENTS:
        keys = yaml.safe_load((CHECKOUT / f"Pulumi.{environment}.yaml").read_text())["config"]
        ours = {key.split(":")[1] for key in keys if key.startswith("superagent:")}
        assert ours <= set(Settings.model_fields)


def test_a_number_is_told_as_a_number() -> None:
    """In Python 1 equals True, and one cache node is no yes."""
    defaults = {key.name: key.default for key in described()}
    assert defaults["cache_nodes"] == "local 1; dev 1; staging 2; prod 3"
    assert defaults["multi_az"] == "local false; dev false; staging true; prod true"
