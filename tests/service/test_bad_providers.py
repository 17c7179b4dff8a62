"""A provider that misbehaves under load, behind the real process: nobody waits, and it may come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import wait_until
from tests.service.faulty import MODES, Faulty, faulty
from tests.service.running import Process, create_key, process, ready
from tests.service.stores import postgres
from tests.service.traffic import Traffic, ask

pytestmark = [pytest.mark.component, pytest.mark.timeout(240)]

System = tuple[Process, Faulty, str]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("providers")
    with postgres() as store, faulty() as upstream:
        ready(store.url)
        key = create_key(store.url, "chat")
        file = folder / "providers.json"
        file.write_text(json.dumps(upstream.providers()))
        with process(store.url, folder, PROVIDERS_FILE=str(file)) as service:
            yield service, upstream, key


def answered_by(system: System, name: str) -> bool:
    service, _, key = system
    return ask(service.port, key, model="both").provider == name


@pytest.mark.parametrize("mode", MODES)
def test_a_bad_provider_costs_nobody_an_answer_and_comes_back(system: System, mode: str) -> None:
    service, upstream, key = system
    upstream.mode = "well"
    wait_until(lambda: answered_by(system, "bad"), "the first provider answers", 60)
    memory = _memory(service)
    with (
        Traffic(service.port, key, body={"model": "both"}) as whole,
        Traffic(service.port, key, 2, {"model": "both", "stream": True}) as streams,
    ):
        whole.more(20)
        upstream.mode = mode
        wait_until(lambda: answered_by(system, "spare"), "the spare takes over", 60)
        whole.more(40)
        streams.more(20)
        alone = [ask(service.port, key, model="bad/m") for _ in range(6)]
        upstream.mode = "well"
        upstream.released.set()
        wait_until(lambda: answered_by(system, "bad"), "it is asked again", 60)
    upstream.released.clear()
    assert whole.statuses() == {200}
    assert {one.status for one in alone} <= {502, 503, 504}
    # A stream that had begun when its provider died is cut, and says so; no other is touched.
    cut = [one for one in streams.answers if one.status != 200]
    assert all(one.error == "cut" for one in cut)
    assert mode in ("die", "flood") or not cut
    # Megabytes: six at once may hold what an answer may have at most, and no more of a flood is kept.
    assert _memory(service) - memory < 130


def _memory(service: Process) -> float:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
