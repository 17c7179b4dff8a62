"""What a person is told, and what never stands between a person and giving traffic back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner

from infra.errors import UserError
from infra.release import commands, wiring
from infra.release.announce import GrafanaAnnotations
from infra.release.fleets import FoundLater
from infra.release.guard import drift
from infra.release.lease import LeaseLost
from infra.release.router import Routing
from infra.release.scenario import Scenario
from infra.release.secret_file import one_line
from infra.release.smoke import SmokeTests
from infra.release.source_prometheus import Prometheus, PrometheusSource
from infra.release.state import EventKind, Phase
from infra.release.wire import Address
from infra.stack.environment import Environment
from tests.infra.release.test_commands import open_tool
from tests.infra.release.test_plan import RUN
from tests.infra.release.world import Behaviour, Operator, World

KEY = "sk-of-the-smoke-tests"
MEDDLED = Routing({"blue": 70, "green": 30}, sticky=False, stickiness_seconds=30)


@pytest.fixture
def superagent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "open_tool", open_tool(world))


def invoke(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(commands.release, list(words))
    return done.exit_code, done.output


def test_changed_weights_are_told_with_commands_for_the_environment_they_are_of() -> None:
    event = drift(replace(RUN, environment="prod", phase=Phase.BAKE, weight=50), MEDDLED)
    assert event is not None
    assert "`superagent release resume --stack prod` writes the intended weights again" in event.reason
    assert "`superagent release abort --stack prod`" in event.reason
    here = drift(replace(RUN, phase=Phase.BAKE, weight=50), MEDDLED)
    assert here is not None
    assert "`superagent release resume` writes" in here.reason


@pytest.mark.parametrize(
    ("phase", "words"),
    [(Phase.LAUNCH, "Give blue all traffic and `superagent release resume`"), (Phase.WITHDRAW, "has ended")],
    ids=str,
)
def test_nobody_is_promised_that_resume_writes_weights_where_it_does_not(phase: Phase, words: str) -> None:
    event = drift(replace(RUN, phase=phase), MEDDLED, 0)
    assert event is not None
    assert event.kind is EventKind.DRIFT
    assert "writes the intended weights" not in event.reason
    assert words in event.reason


@pytest.mark.usefixtures("superagent")
def test_a_verb_that_was_stopped_names_its_own_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise LeaseLost("another controller has taken over")

    monkeypatch.setattr(commands.verbs, "resume", lost)
    assert "`superagent release status --stack prod`" in invoke("resume", "--stack", "prod")[1]


@pytest.mark.usefixtures("superagent")
def test_traffic_that_is_split_is_not_promised_to_be_mended_by_force(world: World) -> None:
    operator = Operator(world)
    operator.fleet.scale_up("green", "blue")
    operator.router.write({"blue": 70, "green": 30}, pin=False, stickiness_seconds=30)
    code, said = invoke("start", "--version", "v2", "--force", "it must go on")
    assert (code, operator.journal.current()) == (2, None)
    assert "by hand" in said
    assert "--force" not in said


@pytest.mark.usefixtures("superagent")
def test_a_version_is_rolled_back_also_when_it_is_ill(world: World) -> None:
    invoke("start", "--version", "v2")
    world.clock.time += 60
    world.behaviours["v2"] = Behaviour(becomes_healthy=False)
    code, said = invoke("rollback")
    assert code == 0, said
    assert world.weights() == {"blue": 100, "green": 0}


@pytest.mark.usefixtures("superagent")
def test_a_release_that_is_given_up_without_a_controller_is_told_to_everybody(world: World) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    alice.journal.create(alice.new_run("v2"), alice.lease)
    world.clock.time += 60
    invoke("abort", "--no-wait")
    run = alice.journal.current()
    assert run is not None
    assert (run.phase, run.announced) == (Phase.ABORTED, run.mark)
    page = (world.metrics_folder / "superagent_release.prom").read_text()
    assert 'superagent_release_in_progress{environment="local"} 0.0' in page


def test_a_grafana_token_that_is_gone_stops_no_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERAGENT_GRAFANA_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUPERAGENT_GRAFANA_TOKEN_FILE", str(tmp_path / "gone"))
    found = GrafanaAnnotations.from_environment()
    assert found is not None
    with pytest.raises(OSError, match="gone"):
        found.add(RUN, 0)


def test_a_metric_store_that_cannot_be_found_stops_no_verb_and_is_no_data() -> None:
    looks: list[str] = []

    def find() -> Prometheus:
        looks.append("look")
        raise EndpointConnectionError(endpoint_url="https://aps.example")

    source = PrometheusSource(FoundLater(find), "prod")
    assert looks == []
    assert source.window("green", 0, 60) is None
    assert source.in_flight("green") is None
    assert len(looks) == 2


@pytest.mark.parametrize("content", [f"{KEY}\nand a comment", f"{KEY} more", f"{KEY}\u2026", ""])
def test_a_file_with_other_than_one_word_is_refused_without_being_quoted(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(ValueError, match="one line with one word") as refused:
        one_line(file)
    assert KEY not in str(refused.value)
    file.write_text(f"{KEY}\n")
    assert one_line(file) == KEY


def test_a_smoke_key_that_no_header_can_hold_is_refused_without_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\nsk-of-somebody")
    monkeypatch.setenv("SUPERAGENT_SMOKE_KEY_FILE", str(file))
    with pytest.raises(UserError, match="nothing but the key") as refused:
        wiring._smoke_key(Environment(world.outputs, None))
    assert KEY not in str(refused.value)


def test_smoke_tests_without_their_key_are_refused_before_anything_moves() -> None:
    def no_key() -> str:
        raise UserError("Smoke tests need an API key.", "Name its file.")

    tests = SmokeTests(lambda: Address("127.0.0.1", 1), [Scenario("ready", "/health/ready")], no_key)
    with pytest.raises(UserError, match="need an API key"):
        tests.prepare()
    anonymous = [Scenario("ready", "/health/ready", anonymous=True)]
    SmokeTests(lambda: Address("127.0.0.1", 1), anonymous, no_key).prepare()


@pytest.mark.usefixtures("superagent")
def test_start_looks_for_its_key_before_it_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_key(self: object) -> None:
        raise UserError("Smoke tests need an API key.", "Name its file.")

    monkeypatch.setattr("tests.infra.release.world.WorldSmoke.prepare", no_key)
    assert invoke("start", "--version", "v2")[0] == 2
    assert Operator(world).journal.current() is None


@pytest.mark.usefixtures("superagent")
@pytest.mark.parametrize("verb", ["abort", "rollback"])
def test_a_release_whose_controller_died_on_the_way_back_goes_back_when_that_is_asked_for(
    world: World, verb: str
) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    run = alice.new_run("v2", phase=Phase.RESTORE, weight=50, reason="answered with 5xx")
    alice.journal.create(run, alice.lease)
    alice.fleet.set_image("green", "v2")
    alice.fleet.scale_up("green", "blue")
    alice.router.write({"blue": 50, "green": 50}, pin=True, stickiness_seconds=30)
    world.clock.time += 60  # alice's process is gone, and half of the traffic still goes to v2
    code, said = invoke(verb)
    assert code == 0, said
    assert world.weights() == {"blue": 100, "green": 0}
