"""Parts that tests of the local system start and kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.local.aws_process import AwsProcess


@pytest.fixture
def aws_process(tmp_path: Path) -> Iterator[AwsProcess]:
    """A running local AWS API with an empty state of its own."""
    process = AwsProcess(tmp_path / "aws")
    process.start()
    yield process
    process.kill()
