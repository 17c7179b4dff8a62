"""What stands in Pulumi.local.yaml counts for `superagent up`, and what is wrong in it stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import UserError
from infra.local import stack_file


def written(folder: Path, text: str) -> Path:
    file = folder / "Pulumi.local.yaml"
    file.write_text(text)
    return file


def test_only_our_keys_are_taken_as_texts(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "config:\n  aws:region: x\n  superagent:release_steps: [20, 100]\n  superagent:max_size: 3\n",
    )
    assert stack_file.keys(file) == {"release_steps": "[20, 100]", "max_size": "3"}


@pytest.mark.parametrize("text", ["", "config:\n", "name: x\n"])
def test_a_file_without_keys_changes_nothing(tmp_path: Path, text: str) -> None:
    assert stack_file.keys(written(tmp_path, text)) == {}
    assert stack_file.keys(tmp_path / "none.yaml") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("config: [", "is not YAML"),
        ("config: 3\n", "config is 3"),
        ("config:\n  superagent:release_steps: [50]\n", "release_steps .* ends at 50 %"),
        ("config:\n  superagent:release_step: [50]\n", "Did you mean superagent:release_steps"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        stack_file.keys(written(tmp_path, text))
