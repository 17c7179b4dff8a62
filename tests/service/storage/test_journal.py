"""The journal: a row survives whatever happens after `append`, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.storage.journal import Journal, JournalInUse, parse
from service.storage.usage import BOOKED, OUTCOME, UsageRow


def row(number: int, *, stream: bool = False, outcome: str = "ok") -> UsageRow:
    return UsageRow(
        f"req_{number}", 1_790_000_000.0 + number, "key_1", "/v1/chat/completions", "m", "p", "m", 10, 5, 0,
        0.001, 12.5, None, "", outcome, 1, stream,
    )  # fmt: skip


def booked(folder: Path) -> list[tuple[str, str]]:
    paths = [path for path in sorted(folder.glob("*.journal")) if path.is_file()]
    lines = [line for path in paths for line in parse(path.read_bytes())]
    return [(line[1].decode(), line[OUTCOME].decode()) for line in lines if line[0] == BOOKED]


def test_a_row_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from service.storage.journal import Journal\n"
        "from tests.service.storage.test_journal import row\n"
        "journal = Journal(Path(sys.argv[1])); journal.open(); journal.append(row(1))\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[3])
    assert done.returncode == -9
    assert booked(tmp_path) == [("req_1", "ok")]


def test_a_torn_last_line_is_skipped_and_the_next_start_goes_on(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.open()
    first.append(row(1))
    first.close()
    with (tmp_path / f"{1:012d}.journal").open("ab") as file:
        file.write(b"r\treq_torn\t17")
    second = Journal(tmp_path)
    second.open()
    second.append(row(2))
    second.close()
    assert booked(tmp_path) == [("req_1", "ok"), ("req_2", "ok")]


def test_a_stream_that_was_open_when_the_process_died_is_booked_as_crashed_once(tmp_path: Path) -> None:
    dead = Journal(tmp_path)
    dead.open()
    dead.stream_opened(row(1, stream=True))
    dead.stream_opened(row(2, stream=True))
    dead.append(row(2, stream=True))
    dead.close()
    for _ in range(2):
        after = Journal(tmp_path)
        after.open()
        after.close()
    assert booked(tmp_path) == [("req_2", "ok"), ("req_1", "crashed")]


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.open()
    with pytest.raises(JournalInUse, match="SUPERAGENT_JOURNAL_DIR"):
        Journal(tmp_path).open()
    first.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalInUse, match="cannot be written"):
        Journal(tmp_path / "file" / "journal").open()


def test_a_full_disk_keeps_rows_in_memory_until_it_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.open()
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    journal.append(row(1))
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    journal.append(row(2))
    assert booked(tmp_path) == []
    monkeypatch.setattr(os, "write", real)
    journal.retry()
    assert booked(tmp_path) == [("req_1", "ok"), ("req_2", "ok")]
    journal.close()


def test_a_segment_that_cannot_be_begun_costs_no_request_its_answer(tmp_path: Path) -> None:
    """No file descriptor is left, say: rows go on into the old one until there is."""
    journal = Journal(tmp_path, segment_bytes=100)
    journal.open()
    in_the_way = journal.path(journal.segment + 1)
    in_the_way.mkdir()
    for number in range(1, 4):
        journal.append(row(number))
    assert [name for name, _ in booked(tmp_path)] == ["req_1", "req_2", "req_3"]
    in_the_way.rmdir()
    journal.append(row(4))
    journal.append(row(5))
    assert [name for name, _ in booked(tmp_path)] == [f"req_{number}" for number in range(1, 6)]
    assert journal.segment > 1 and not journal.unwritten
    journal.close()
