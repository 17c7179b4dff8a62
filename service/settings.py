"""Every setting of the service, from the environment: `SUPERAGENT_<NAME>`, or `SUPERAGENT_<NAME>_FILE`.

`load` is the only way in; it raises `SettingsError` with one sentence per problem and never shows a secret.
Users, passwords and tokens of the stores are followed: a `_FILE` of theirs that was rewritten counts from the
next connection on, without a restart.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    Field,
    Json,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX: Final = "SUPERAGENT_"
# Names with our prefix that belong to the tools around the service and may be inherited from them.
FOREIGN: Final = frozenset({"SUPERAGENT_HOME"})

_ENCRYPTED: Final = frozenset({"require", "verify-ca", "verify-full"})

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class SettingsError(Exception):
    """The environment cannot be used; the message says what is wrong and what to do. Exit code 2."""


class Settings(BaseSettings):
    """One field per variable; the description is what the documentation shows."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, env_file=None
    )

    # --- where it listens
    host: str = Field("127.0.0.1", description="Address of both sockets.")
    port: Port = Field(8080, description="Port of the API.")
    metrics_port: Port = Field(9464, description="Port of `/metrics`; never exposed to clients.")

    # --- what it stands on
    database_url: SecretStr = Field(description="`postgresql://user:password@host:port/name`.")
    database_iam_region: str = Field(
        "",
        pattern=r"^([a-z]{2}(-[a-z]+)+-\d)?$",
        description="Log in to RDS of this AWS region with tokens that AWS signs; empty: the URL's password.",
    )
    database_owner_url: SecretStr | None = Field(
        None, description="Login that owns the schema, for `migrate` alone; else `database_url`."
    )
    database_pool_size: int = Field(4, ge=1, le=100, description="Most connections to Postgres.")
    replica_url: SecretStr | None = Field(None, description="Read replica for reports; else the primary.")
    replica_lag_seconds: float = Field(
        30, ge=0, le=86_400, description="A replica that lacks what is older than this is not read."
    )
    redis_url: SecretStr | None = Field(
        None, description="`redis://[user:password@]host:port/db`; without it limits are per process."
    )
    redis_timeout_seconds: float = Field(
        0.25, gt=0, le=10, description="Slower than this counts as gone; local limits take over."
    )
    redis_cluster: bool = Field(False, description="`redis_url` names a node of a Redis Cluster.")
    providers_file: Path | None = Field(
        None, description="JSON file: providers, models, routing; without it only `simulator`."
    )
    journal_dir: Path = Field(
        Path(".superagent/data/journal/service"), description="Folder of the usage journal, one per process."
    )

    # --- what runs here
    version: str = Field("dev", pattern=r"^[\w.+-]{1,64}$", description="Shown in the `build` header.")
    colour: Literal["", "blue", "green"] = Field("", description="Colour of the fleet this process is in.")
    environment: str = Field("local", pattern=r"^[\w-]{1,32}$", description="`local`, `dev`, `prod`, …")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")

    # --- how long things may take
    request_timeout_seconds: float = Field(300, gt=0, le=3600, description="Deadline of one request.")
    body_timeout_seconds: float = Field(20, gt=0, le=600, description="Longest wait for a request's body.")
    header_timeout_seconds: float = Field(10, gt=0, le=600, description="Longest wait for its headers.")
    unread_timeout_seconds: float = Field(
        60, gt=0, le=3600, description="A client that reads nothing of its answer for so long is cut off."
    )
    keep_alive_seconds: int = Field(
        310, ge=1, le=4000, description="Idle connections stay open this long; more than the balancer's idle."
    )
    drain_seconds: Seconds = Field(30, description="Longest wait for open requests at SIGTERM.")
    drain_notice_seconds: Seconds = Field(
        2, description="How long requests are still accepted after readiness went red."
    )

    # --- what a request may be
    max_body_bytes: int = Field(8_388_608, ge=1024, le=268_435_456, description="Largest request body.")
    max_header_bytes: int = Field(32_768, ge=1024, le=1_048_576, description="Largest request head.")
    trusted_proxies: int = Field(
        0, ge=0, le=10, description="Proxies before us that append to `X-Forwarded-For`; 0 ignores it."
    )
    cors_origins: str = Field("", description="Origins that browsers may call from, comma-separated, or `*`.")

    # --- who may ask
    auth_fresh_seconds: float = Field(60, gt=0, le=3600, description="A key is asked for again after this.")
    auth_stale_seconds: Seconds = Field(
        3600, description="While Postgres is gone, known keys keep working this long."
    )

    jwt_keys: SecretStr | None = Field(
        None, description="`kid:secret,…` of our own tokens, the signing one first; none: no tokens."
    )
    jwt_issuer: str = Field("superagent", description="`iss` of our own tokens.")
    jwt_audience: str = Field("superagent", description="`aud` of our own tokens.")
    oidc_issuer: str = Field("", description="Issuer of an OpenID provider; empty: none.")
    oidc_audience: str = Field("superagent", description="`aud` that its tokens must carry.")
    oidc_jwks_url: str = Field("", description="Its keys; default `<issuer>/.well-known/jwks.json`.")
    oidc_claim: str = Field("permissions", description="The claim that lists permissions; else `scope`.")
    auth_failures_per_minute: int = Field(
        120, ge=1, le=1_000_000, description="Wrong credentials of one address before it gets 429."
    )

    # --- how much they may ask for; 0 is no limit, a key's own limits go first
    limit_global_per_minute: int = Field(0, ge=0, le=100_000_000, description="Requests, all clients.")
    limit_client_per_minute: int = Field(600_000, ge=0, le=100_000_000, description="Requests of one client.")
    limit_client_tokens_per_minute: int = Field(
        0, ge=0, le=1_000_000_000, description="Tokens of one client."
    )
    limit_burst: int = Field(0, ge=0, le=100_000_000, description="Requests at once; 0: the limit itself.")
    limit_endpoints: Json[dict[str, int]] = Field(
        default="{}", validate_default=True, description='Requests of one client, `{"/v1/debates": 30}`.'
    )
    limit_processes: int = Field(
        1, ge=1, le=10_000, description="Processes that share the limits while Redis is gone."
    )

    # --- debates and agents
    chat_model: str = Field("", max_length=200, description="Model of `POST /chat` when none is named.")
    debate_judge_model: str = Field(
        "", max_length=200, description="Judges agreement and writes the final answer; empty: none."
    )
    debate_embedding_model: str = Field(
        "", max_length=200, description="Measures agreement where no judge does; empty: by words."
    )
    debates_per_key: int = Field(5, ge=1, le=10_000, description="Open debates of one account.")
    debates_total: int = Field(500, ge=1, le=1_000_000, description="Open debates of all accounts and nodes.")
    debates_per_process: int = Field(
        100, ge=1, le=10_000, description="Debates run at once here; further ones wait for room on any node."
    )
    debate_lease_seconds: float = Field(
        15, ge=1, le=300, description="A debate whose node is silent for this long goes on at another."
    )
    debate_retention_days: int = Field(
        90, ge=0, le=3650, description="Ended debates are removed after this; 0: never."
    )

    # --- answers that were given before
    cache_seconds: int = Field(3600, ge=0, le=2_592_000, description="How long answers are kept; 0: never.")
    cache_share_seconds: float = Field(
        0, ge=0, le=300, description="Longest wait for an identical call of another process; 0: none."
    )
    cache_max_bytes: int = Field(262_144, ge=1024, le=16_777_216, description="Largest answer that is kept.")
    semantic_cache_embedder: str = Field(
        "",
        max_length=200,
        description="Answers reworded questions from the cache: `local`, or an embedding model; empty: off.",
    )
    semantic_cache_threshold: float = Field(
        0.92, ge=0.5, le=1, description="Least cosine of two questions that may share an answer."
    )
    semantic_cache_entries: int = Field(
        10_000, ge=16, le=100_000, description="Questions kept of one scope; the oldest goes first."
    )
    semantic_cache_timeout_seconds: float = Field(
        0.5, gt=0, le=10, description="A provider's vector that takes longer counts as a miss."
    )

    # --- traces
    trace_url: str = Field(
        "", max_length=2000, description="OTLP/HTTP receiver, `http://127.0.0.1:4318`; empty: no tracing."
    )
    trace_headers: SecretStr | None = Field(None, description="`name=value,…`, sent to the receiver.")
    trace_sample: float = Field(0.01, ge=0, le=1, description="Part of the requests that is recorded.")
    trace_parent_based: bool = Field(
        False,
        description="The `sampled` flag of a caller's `traceparent` decides instead, if it sends one.",
    )

    # --- how good answers look
    quality_sample: float = Field(
        0, ge=0, le=1, description="Part of the answers that is scored after it was sent; 0: none."
    )

    _files: dict[str, Path] = PrivateAttr(default_factory=dict)

    def follow(self, name: str) -> Callable[[], str]:
        """A secret as it is at each call: what its `_FILE` holds now, else what it was at the start.

        A file that is gone or empty for a moment changes nothing.
        """
        found: SecretStr | None = getattr(self, name)
        last = found.get_secret_value() if found is not None else ""
        path = self._files.get(name)

        def now() -> str:
            nonlocal last
            if path is not None:
                with contextlib.suppress(OSError, UnicodeDecodeError):
                    last = path.read_text().strip() or last
            return last

        return now

    @field_validator("database_iam_region", "replica_url")
    @classmethod
    def _tokens_need_tls(cls, value: Any, info: ValidationInfo) -> Any:
        known, replica = info.data.get, info.field_name == "replica_url"
        region, url = (known("database_iam_region"), value) if replica else (value, known("database_url"))
        if region and url is not None:
            parts, whose = urlsplit(url.get_secret_value()), "replica" if replica else "database"
            if parts.password or not parts.username:
                raise ValueError(f"the {whose} URL must name a user and no password, which AWS signs")
            if dict(parse_qsl(parts.query)).get("sslmode") not in _ENCRYPTED:
                raise ValueError(f"tokens need TLS: add sslmode=verify-full (or require) to the {whose} URL")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` reads the environment itself: it must see every name to refuse the unknown ones.
        return (init_settings,)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment. Raises `SettingsError` with every problem, one line each."""
    values, files, problems = _collect(os.environ if environ is None else environ)
    try:
        settings = Settings(**values)
        settings._files.update(files)
    except ValidationError as error:
        problems += [_describe(part["loc"], part["type"], part["msg"]) for part in error.errors()]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _collect(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Path], list[str]]:
    values: dict[str, Any] = {}
    files: dict[str, Path] = {}
    problems: list[str] = []
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in FOREIGN:
            continue
        field = name.removeprefix(PREFIX).lower()
        if field in Settings.model_fields:
            if value != "":
                values[field] = value
        elif field.endswith("_file") and field.removesuffix("_file") in Settings.model_fields:
            target = field.removesuffix("_file")
            if environ.get(PREFIX + target.upper()):
                problems.append(f"{name} and {PREFIX}{target.upper()} are both set: keep one of them.")
                continue
            try:
                values[target] = Path(value).read_text().strip()
                files[target] = Path(value)
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not text"
                problems.append(f"{name}: cannot read {value!r} ({reason}): name a readable file.")
        else:
            problems.append(f"{name} is not a setting: {_suggest(field)}")
    return values, files, problems


def _suggest(field: str) -> str:
    close = difflib.get_close_matches(field, Settings.model_fields, n=1)
    return (
        f"did you mean {PREFIX}{close[0].upper()}?" if close else "remove it (service/settings.py lists all)."
    )


def _describe(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = PREFIX + str(location[0] if location else "").upper()
    if kind == "missing":
        return f"{name} is required: set it, or {name}_FILE."
    return f"{name}: {message[0].lower()}{message[1:]}."
