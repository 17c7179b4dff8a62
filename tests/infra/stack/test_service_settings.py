"""What a stack may give the service: refused with a reason, or read by the real service on both computes."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from infra.errors import UserError
from infra.local import slots
from infra.local.layout import Layout
from infra.preview.estate import Recorded
from infra.stack import bootstrap, kubernetes_objects, service_settings
from infra.stack.configuration import load
from infra.stack.service_environment import PREFIX, given, owned, text
from service import settings as service
from tests.infra.estates import recorded
from tests.infra.stack.test_bootstrap import unpacked

PROD = {
    "superagent:domain": "api.example.com",
    "superagent:hosted_zone_id": "Z0123456789",
    "superagent:compute": "eks",
}
NAMED = {"service_secrets": '["jwt_keys", "trace_headers"]'}
CHOSEN: dict[str, Any] = {
    "cache_seconds": 600,
    "semantic_cache_embedder": "local",
    "semantic_cache_threshold": 0.95,
    "limit_endpoints": {"/v1/debates": 30},
    "cors_origins": "https://a.example,https://b.example",
    "oidc_issuer": "https://id.example/",
    "trace_url": "https://otlp.example/v1/traces",
    "trace_sample": "0.02",
    "trace_parent_based": True,
    "debate_judge_model": "claude-sonnet",
    "quality_sample": 1e-05,
    "log_level": "warning",
}


def refused(ours: Any, **more: str) -> str:
    """The one sentence that `load` ends with."""
    config = {f"superagent:{key}": value for key, value in more.items()}
    with pytest.raises(UserError) as caught:
        load("prod", {**PROD, **config, "superagent:service_settings": json.dumps(ours)})
    return f"{caught.value} {caught.value.fix}"


def test_the_table_calls_a_secret_what_the_service_calls_one() -> None:
    secret = {name for name, form in service_settings.known().items() if form.get("secret")}
    assert secret == {
        name
        for name, field in service.Settings.model_fields.items()
        if SecretStr.__name__ in str(field.annotation)
    }
    assert secret >= {"database_url", "redis_url", "jwt_keys", "trace_headers"}


def test_every_setting_can_be_given_or_is_the_stacks_or_a_secret() -> None:
    assert set(service_settings.known()) == set(service.Settings.model_fields)
    for name in service_settings.free():
        default = service.Settings.model_fields[name].default
        if default != "":
            settings = load("prod", {**PROD, "superagent:service_settings": json.dumps({name: default})})
            assert settings.service_settings == {name: default}


WRONG: list[tuple[str, Any, str]] = [
    ("cache_second", 1, "the service has no such setting. Did you mean cache_seconds?"),
    ("x y", 1, "the service has no such setting. docs/reference/settings.md lists all."),
    (
        "CACHE_SECONDS",
        1,
        "settings are named in lower case, without prefix and `_FILE`. Write cache_seconds.",
    ),
    ("SUPERAGENT_CACHE_SECONDS", 1, "Write cache_seconds."),
    ("cache_seconds_file", "/x", "Write cache_seconds."),
    ("cache_seconds", -1, "is -1: the service would refuse it: input should be greater than or equal to 0."),
    (
        "cache_seconds",
        -1,
        "Mend it: pulumi config set --path 'superagent:service_settings.cache_seconds' VALUE.",
    ),
    ("cache_seconds", 1.5, "is 1.5: the service would refuse it: input should be a valid integer"),
    ("cache_seconds", True, "is True: the service would refuse it"),
    ("cache_seconds", None, "is None: the service would take its default. Remove it"),
    ("chat_model", "", "is '': the service would take its default"),
    ("chat_model", "a\nSUPERAGENT_PORT=1", "a variable here is one line of printable ASCII"),
    ("chat_model", "a\r", "one line of printable ASCII"),
    ("chat_model", "m" * 201, "string should have at most 200 characters"),
    ("log_level", "loud", "is 'loud': the service would refuse it: input should be 'debug'"),
    (
        "limit_endpoints",
        {"/v1/debates": "many"},
        "the service would refuse it: input should be a valid integer",
    ),
    ("limit_endpoints", "{", "the service would refuse it: invalid JSON"),
    ("trace_url", "http://10.73.0.9:4318", "the network lets the service out to HTTPS on port 443 alone"),
    ("trace_url", "https://otlp.example:4318/v1/traces", "on port 443 alone"),
    (
        "keep_alive_seconds",
        300,
        "uses an idle connection for 300 s and would write into a closed one. Set it to",
    ),
    ("request_timeout_seconds", 301, "a release would cut off answers that take longer than 300 s"),
    ("cors_origins", "https://a.example," * 300, "user data has room for 4096 bytes of them"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_a_setting_that_the_service_could_not_use_stops_before_the_first_resource(
    name: str, value: Any, sentence: str
) -> None:
    told = refused({name: value})
    assert sentence in told
    assert told.startswith("superagent:service_settings")


@pytest.mark.parametrize("name", sorted(owned() | {"SUPERAGENT_PORT"}))
def test_what_the_stack_decides_is_not_given_twice(name: str) -> None:
    assert f"service_settings.{name} is '(not shown)': this stack decides it itself" in refused({name: "x"})


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["jwt_key"], "service_secrets is 'jwt_key': not a secret of the service that a stack may give."),
        (["cache_seconds"], "Name some of jwt_keys, trace_headers."),
        (["database_url"], "not a secret of the service that a stack may give"),
        (["database_owner_url"], "not a secret of the service that a stack may give"),
        (["jwt_keys", "jwt_keys"], "jwt_keys counts once"),
    ],
)
def test_a_stack_names_only_secrets_that_the_service_takes_from_it(names: list[str], sentence: str) -> None:
    assert sentence in refused({}, service_secrets=json.dumps(names))


def test_whoever_gives_a_secret_as_a_setting_is_told_where_it_belongs() -> None:
    assert "Remove it, and add jwt_keys to superagent:service_secrets." in refused({"jwt_keys": "x"})


@pytest.mark.parametrize(
    "ours",
    [
        {"jwt_keys": "k1:hunter2"},
        {"JWT_KEYS_FILE": "hunter2"},
        {"trace_headers": "x-key=hunter2"},
        {"database_url": "postgresql://u:hunter2@h/d"},
        {"jwt_key": "k1:hunter2"},
        {"trace_url": "https://u:hunter2@otlp.example"},
    ],
)
def test_a_secret_is_refused_and_not_shown(ours: dict[str, Any]) -> None:
    assert "hunter2" not in refused(ours)


@pytest.mark.parametrize(
    ("key", "pasted"),
    [
        ("service_settings", '{"jwt_keys": "kid:canary"'),
        ("service_settings", "canary"),
        ("service_secrets", "canary"),
        ("service_secrets", '["jwt_keys", {"canary": 1}]'),
        ("service_secrets", '["jwt_keys", "k1:canary"]'),
        ("service_setting", "canary"),
    ],
)
def test_what_was_pasted_in_a_wrong_form_is_not_shown_either(key: str, pasted: str) -> None:
    with pytest.raises(UserError) as refused:
        load("prod", {**PROD, f"superagent:{key}": pasted})
    assert key in refused.value.message
    assert "canary" not in refused.value.message


def test_a_longer_idle_time_than_the_service_keeps_connections_is_refused() -> None:
    assert "keep_alive_seconds is 310.0" in refused({}, idle_timeout_seconds="310")
    assert load(
        "prod",
        {
            **PROD,
            "superagent:idle_timeout_seconds": "310",
            "superagent:service_settings": '{"keep_alive_seconds": 320}',
        },
    )


def test_the_local_stack_has_no_fleet_to_give_them_to() -> None:
    with pytest.raises(UserError, match="the stack local starts no fleet"):
        load("local", {"superagent:service_settings": '{"cache_seconds": 1}'})


def started(variables: dict[str, str], secrets: Path) -> service.Settings:
    """What the real service makes of an environment, with its secrets where they should be."""
    for name, value in {
        "database_url": "postgresql://u@h/d?sslmode=verify-full",
        "replica_url": "postgresql://u@h/d?sslmode=verify-full",
        "redis_url": "rediss://:t@h:6379/0",
        "providers.json": "{}",
        "jwt_keys": "k1:" + "s" * 64,
        "trace_headers": "",
    }.items():
        (secrets / name).write_text(value)
    return service.load(
        {key: value.replace(bootstrap.SECRETS, str(secrets)) for key, value in variables.items()}
    )


def as_chosen(found: service.Settings) -> None:
    wanted: dict[str, Any] = {**CHOSEN, "trace_sample": 0.02}
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert (found.environment, found.port, found.drain_seconds) == ("prod", 8000, 300)
    assert found.jwt_keys is not None and found.jwt_keys.get_secret_value() == "k1:" + "s" * 64
    assert found.trace_headers is not None and found.trace_headers.get_secret_value() == ""


def test_an_instance_gives_them_to_the_service(tmp_path: Path) -> None:
    left = service_settings.LIMIT_BYTES - len(lines(CHOSEN)) - len(f"{PREFIX}JWT_AUDIENCE=\n")
    filler = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=left))
    full = {**CHOSEN, "jwt_audience": filler}
    tools = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/superagent-tools:2026.12.01"
    found = recorded(
        "prod", {"compute": "ec2", "tools_image": tools, "service_settings": json.dumps(full), **NAMED}
    )
    [template] = [
        one
        for one in found.resources.values()
        if one.name == "fleet-blue" and one.type.endswith(":LaunchTemplate")
    ]
    written = yaml.safe_load(unpacked(template.inputs["userData"]))["write_files"]
    [environment] = [one["content"] for one in written if one["path"] == "/etc/superagent/environment"]
    # docker --env-file: a line is a variable, and what follows the first `=` is its value as it stands.
    variables = dict(line.split("=", 1) for line in environment.splitlines())
    as_chosen(started(variables, tmp_path))
    assert variables["SUPERAGENT_JWT_AUDIENCE"] == filler
    [script] = [one["content"] for one in written if one["path"] == "/usr/local/bin/superagent-secrets"]
    fetched(script, found)
    decides(set(variables) - {f"{PREFIX}{name.upper()}" for name in full})


def test_a_pod_gives_them_to_the_service(tmp_path: Path) -> None:
    found = recorded("prod", {"compute": "eks", "service_settings": json.dumps(CHOSEN), **NAMED})
    [objects] = [
        one for one in found.resources.values() if one.type.endswith(":ConfigMap") and one.name == "settings"
    ]
    variables = dict(objects.inputs["data"])
    as_chosen(started({**variables, f"{PREFIX}COLOUR": "blue"}, tmp_path))
    assert bootstrap.SECRETS == kubernetes_objects.SECRETS
    [blue] = [one for one in found.resources.values() if one.name == "blue" and "Deployment" in one.type]
    fetched(blue.inputs["spec"]["template"]["spec"]["initContainers"][0]["command"][-1], found)
    decides(set(variables) - {f"{PREFIX}{name.upper()}" for name in CHOSEN})


def fetched(script: str, found: Recorded) -> None:
    """The boxes exist, empty; who runs the service may read them, and its script does."""
    [policy] = [
        json.loads(one.inputs["policy"])
        for one in found.resources.values()
        if one.name in ("instance-policy", "superagent-policy")
    ]
    versions = [one.inputs for one in found.resources.values() if one.type.endswith(":SecretVersion")]
    for name in ("jwt_keys", "trace_headers"):
        assert f"given superagent/prod/{name})" in script
        assert [one.name for one in found.resources.values() if one.type.endswith(":Secret")].count(name) == 1
        for action in ("GetSecretValue", "ListSecretVersionIds"):
            rights = [one for one in policy["Statement"] if one["Action"] == [f"secretsmanager:{action}"]]
            assert any(f"secret:superagent/prod/{name}-" in one for one in rights[0]["Resource"])
    assert len(versions) == 1, "the token of the cache alone has a value from here"


def lines(settings: dict[str, Any]) -> str:
    return "".join(f"{PREFIX}{name}={value}\n" for name, value in given(settings).items())


def decides(variables: set[str]) -> None:
    """Whatever else is in the environment is refused in `service_settings`."""
    variables -= {f"{PREFIX}JWT_KEYS_FILE", f"{PREFIX}TRACE_HEADERS_FILE"}
    assert {name.removeprefix(PREFIX).lower() for name in variables} <= owned()


def test_a_value_is_written_as_the_service_reads_it() -> None:
    assert [text(one) for one in (True, 0.5, 3, "a b", {"a": 1})] == ["true", "0.5", "3", "a b", '{"a":1}']


def test_the_local_system_passes_on_what_a_stack_may_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in given(CHOSEN).items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    monkeypatch.setenv(f"{PREFIX}JWT_KEYS", "k1:hunter2")
    passed = slots.service_environment(Layout(tmp_path))
    assert {f"{PREFIX}{name}": value for name, value in given(CHOSEN).items()}.items() <= passed.items()
    assert f"{PREFIX}JWT_KEYS" not in passed
