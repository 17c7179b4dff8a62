from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from service.app import create_app
from service.providers.base import Image, Message, ProviderError, ResponseFormat, Text, Tool, UnknownModel
from service.providers.catalog import ModelInfo, Price
from service.providers.config import AliasEntry, ConfigError, ProviderConfig, ProvidersConfig, parse_config
from service.routing.breaker import CircuitBreaker
from service.routing.models import misfit
from service.routing.router import Router
from service.routing.target import Load, Target, Upstream
from service.settings import load
from tests.service.routing.scripted import Scripted, Stage, Time, request


async def first_choice(stage: Stage, policy: str) -> str:
    return await stage.ask(stage.context(policy=policy))


async def test_priority_is_the_configured_order() -> None:
    stage = Stage("b", "a", "c")
    assert {await first_choice(stage, "priority") for _ in range(20)} == {"b"}


async def test_weights_are_chances() -> None:
    stage = Stage("a", "b", "c")
    for name, weight in (("a", 3.0), ("b", 1.0), ("c", 0.0)):
        (target,) = stage.router._models.resolve(f"{name}/m")
        target.weight = weight
    seen = Counter([await first_choice(stage, "weighted") for _ in range(2_000)])
    assert seen["c"] == 0 and 0.72 < seen["a"] / 2_000 < 0.78


async def test_the_quickest_is_asked_and_the_slow_one_gets_another_chance() -> None:
    stage = Stage("a", "b")
    stage.script("a", 2.0)
    stage.script("b", 0.5)
    assert {await first_choice(stage, "least_latency"), await first_choice(stage, "least_latency")} == {
        "a",
        "b",
    }
    for _ in range(5):
        stage.script("b", 0.5)
        assert await first_choice(stage, "least_latency") == "b"
    stage.time.now += 300
    stage.script("b", 3.0)
    await first_choice(stage, "least_latency")
    assert "a" in {await first_choice(stage, "least_latency") for _ in range(3)}


def test_load_counts_calls_under_way_and_believes_bad_news_at_once() -> None:
    time = Time()
    load = Load(time)
    load.observe(1.0)
    load.observe(4.0)
    assert load.expected() == 4.0
    load.in_flight = 2
    assert load.expected() == 12.0
    load.in_flight = 0
    time.now += 10
    load.observe(1.0)
    assert 1.0 < load.expected() < 4.0


async def test_the_cheapest_with_a_known_price_is_asked() -> None:
    stage = Stage("a", "b", "c", prices={"a": 5.0, "b": 1.0})
    assert await first_choice(stage, "cheapest") == "b"
    stage.script("b", "auth")
    assert await first_choice(stage, "cheapest") == "a"


async def test_an_unknown_policy_is_refused_by_name() -> None:
    stage = Stage("a", "b")
    with pytest.raises(ProviderError, match="fastest"):
        await first_choice(stage, "fastest")


async def test_a_provider_known_to_be_ill_comes_last_and_is_asked_when_nobody_else_can() -> None:
    stage = Stage("a", "b", tries_per_target=1)
    stage.providers["a"].healthy = False
    await stage.router._checks.check_all()
    assert await stage.ask() == "b"
    stage.script("b", "auth")
    assert await stage.ask() == "a"
    assert stage.recorder.of("health") == [("a", False), ("b", True)]


async def test_a_check_closes_an_open_breaker_without_a_clients_call() -> None:
    stage = Stage("a", breaker_failures=1, tries_per_target=1)
    stage.script("a", "internal")
    with pytest.raises(ProviderError):
        await stage.ask()
    await stage.router._checks.check_all()
    assert stage.router.health()["a"].breaker == "open"
    stage.time.now += 30
    await stage.router._checks.check_all()
    await stage.router._checks.check_all()
    assert stage.router.health()["a"].breaker == "closed"


async def test_starting_checks_at_once_and_closing_ends_everything() -> None:
    stage = Stage("a")
    await stage.router.start()
    await stage.router.close()
    assert stage.providers["a"].closed
    assert ("a", 0) in stage.recorder.of("breaker") and ("a", True) in stage.recorder.of("health")


# --- names ------------------------------------------------------------------------------------------


def chain() -> Router:
    time = Time()
    config = ProvidersConfig(
        providers=tuple(
            ProviderConfig(name=name, kind="simulator", models=models)
            for name, models in (("claude", ("sonnet",)), ("google", ("flash",)), ("local", ("*", "tiny")))
        ),
        aliases={"best": ("claude/sonnet", AliasEntry(target="google/flash", tier=1), "local/llama:8b")},
    )
    return Router(config, build=lambda one: Scripted(one.name, one.models, time), clock=time)


def names(router: Router, model: str) -> list[str]:
    return [target.name for target in router._models.resolve(model)]


def test_names_resolve_to_models_providers_and_chains() -> None:
    router = chain()
    assert names(router, "sonnet") == names(router, "claude/sonnet") == ["claude/sonnet"]
    assert names(router, "best") == ["claude/sonnet", "google/flash", "local/llama:8b"]
    assert names(router, "local/anything") == ["local/anything"]
    listed = {entry.id: entry.owned_by for entry in router.models()}
    assert listed == {
        "claude/sonnet": "claude",
        "google/flash": "google",
        "local/tiny": "local",
        "best": "superagent",
    }


@pytest.mark.parametrize("name", ["", "nope", "claude/nope", "nobody/sonnet", "sonnet;fail=hang", "claude/"])
def test_what_is_not_configured_does_not_exist(name: str) -> None:
    with pytest.raises(UnknownModel):
        chain()._models.resolve(name)


def test_names_that_clients_make_up_never_become_metric_labels() -> None:
    (target,) = chain()._models.resolve("local/" + "x" * 50)
    assert target.label == "other"


async def test_a_lower_tier_is_used_up_before_a_higher_one_whatever_the_policy() -> None:
    router = chain()
    for policy in ("weighted", "least_latency", "cheapest", "priority"):
        for _ in range(20):
            ctx = Stage("x").context(policy=policy)
            ordered = router._order(request("best"), ctx)
            assert ordered[-1].name == "google/flash"


def able(**info: object) -> Target:
    time = Time()
    upstream = Upstream(Scripted("a", ("m",), time), CircuitBreaker(time))
    return Target(upstream, "m", ModelInfo(**info), Load(time))  # type: ignore[arg-type]


def test_who_cannot_do_what_is_asked_is_left_out() -> None:
    picture = request(messages=(Message("user", (Image(url="https://e.org/a"), Text("?"))),))
    assert misfit(able(images=False), picture) == "no images"
    assert misfit(able(tools=False), request(tools=(Tool("f"),))) == "no tools"
    schema = request(response_format=ResponseFormat("json_schema"))
    assert misfit(able(json_schema=False), schema) == "no JSON schema"
    assert "too small" in (misfit(able(context=100), request(max_tokens=99)) or "")
    assert misfit(able(context=200), request(max_tokens=99)) is None


async def test_a_provider_that_is_asked_too_often_is_not_ill() -> None:
    stage = Stage("a", "b")

    async def busy(deadline: float) -> None:
        raise ProviderError("rate_limited", "slow down", retry_after=9.0)

    stage.providers["a"].check = busy  # type: ignore[method-assign]
    await stage.router._checks.check_all()
    assert stage.router.health()["a"].healthy and await stage.ask() == "a"


# --- the file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "PROVIDERS_FILE"),
        (b'{"providers": []}', "at least one"),
        (b'{"providers": [{"name": "a"}]}', "kind"),
        (b'{"providers": [{"name": "a", "kind": "magic"}]}', "magic"),
        (b'{"providers": [{"name": "a", "kind": "openai", "api_key": "sk-secret"}]}', "api_key"),
        (b'{"providers": [{"name": "a/b", "kind": "simulator"}]}', "without '/'"),
        (
            b'{"providers": [{"name": "a", "kind": "simulator"}, {"name": "a", "kind": "simulator"}]}',
            "own name",
        ),
        (b'{"providers": [{"name": "a", "kind": "simulator"}], "aliases": {"x": ["b/m"]}}', "'b/m'"),
        (b'{"providers": [{"name": "a", "kind": "simulator"}], "aliases": {"x": []}}', "aliases.x"),
        (
            b'{"providers": [{"name": "a", "kind": "simulator"}], "routing": {"breaker_failures": 0}}',
            "1 or more",
        ),
        (
            b'{"providers": [{"name": "a", "kind": "simulator"}], "routing": {"max_attempts": 0}}',
            "max_attempts must be 1 or more",
        ),
        (b'{"providers": [{"name": "a", "kind": "openai", "max_connections": 0}]}', "max_connections"),
        (b'{"providers": [{"name": "a", "kind": "openai", "timeouts": {"total": 0}}]}', "timeouts"),
    ],
)
def test_a_wrong_file_is_refused_with_the_field_and_never_a_key(raw: bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw)
    assert said in str(caught.value) and "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"base_url": "http://169.254.169.254/v1"}, "metadata"),
        ({"base_url": "http://127.0.0.1:1/v1"}, "allow_private"),
        ({"key_file": "/nowhere/key"}, "/nowhere/key"),
        ({"key_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"),
        ({"flavour": "banana"}, "banana"),
        ({"key_env": "PASTED_KEY"}, "line break"),
        ({"proxy": "socks://x"}, "proxy"),
        ({"proxy": "https://proxy.example:3128"}, "http://"),
        ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
        ({"ca_file": __file__}, "ca_file"),
        ({"prices": {"m": {"inputs": 1}}}, "prices.m"),
    ],
)
def test_a_provider_that_cannot_work_is_refused_at_the_start(
    entry: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASTED_KEY", "sk-proj-\u201csecret")
    config = ProviderConfig(name="a", kind="openai", models=("m",), **entry)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"providers\.a") as caught:
        Router(ProvidersConfig(providers=(config,)))
    assert said in str(caught.value) and "secret" not in str(caught.value)


def test_prices_of_the_file_win_over_the_catalog() -> None:
    config = ProviderConfig(
        name="a", kind="simulator", models=("echo",), prices={"echo": {"input": 1, "output": 2}}
    )
    router = Router(ProvidersConfig(providers=(config,)))
    assert router.models()[0].info is not None and router.models()[0].info.price == Price(1, 2)


def test_models_without_a_price_are_told_at_the_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Budgets take them for free, and nobody else says so."""
    file = tmp_path / "providers.json"
    models = ["gpt-5", "home-made", "own"]
    provider = {"name": "a", "kind": "openai", "models": models, "prices": {"own": {"input": 0, "output": 0}}}
    file.write_text(json.dumps({"providers": [provider], "aliases": {"best": ["a/home-made"]}}))
    settings = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "PROVIDERS_FILE": str(file)}
    create_app(load({f"SUPERAGENT_{name}": value for name, value in settings.items()}))
    said = [line for line in capfd.readouterr().out.splitlines() if "models_without_price" in line]
    assert len(said) == 1 and json.loads(said[0])["models"] == ["a/home-made"]


def test_the_example_of_the_documentation_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "providers.md").read_text()
    raw = page.partition("```json\n")[2].partition("```")[0]
    (tmp_path / "key").write_text("k")
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    config = re.sub(r"/run/secrets/\w+", str(tmp_path / "key"), raw)
    router = Router(parse_config(config.encode()))
    assert [target.name for target in router._models.resolve("best")] == [
        "claude/claude-opus-4-8",
        "google/gemini-2.5-flash",
        "deepseek/deepseek-v4-flash",
    ]
    assert all(entry.info is not None and entry.info.price for entry in router.models())
