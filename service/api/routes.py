"""Which path leads where: the hot ones straight, all others through Starlette's router."""

from __future__ import annotations

from typing import Protocol

from starlette.routing import BaseRoute, Route

from service.agents.registry import Registry
from service.api.admin import Admin
from service.api.agents import Agents
from service.api.chat import ChatCompletions
from service.api.cold import Cold
from service.api.completions import Completions
from service.api.debate_events import DebateEvents
from service.api.debates import PERMISSION as DEBATE
from service.api.debates import Debates
from service.api.docs import Docs
from service.api.edge import Handler
from service.api.embeddings import Embeddings
from service.api.endpoint import Door, Endpoint
from service.api.gate import Gate
from service.api.health import Health
from service.api.messages import Messages
from service.api.models import Models
from service.api.pipeline import Pipeline, Router
from service.api.runtime import Runtimes
from service.api.sessions import Sessions
from service.api.tokens import Tokens
from service.api.usage import UsageReport
from service.auth.audit import Audit
from service.auth.keys import KeyStore
from service.auth.revocations import Revocations
from service.auth.sessions import TokenStore
from service.auth.tokens import TokenSigner
from service.debates.runner import Runner
from service.settings import Settings
from service.storage.conversations import Conversations
from service.storage.database import Database
from service.storage.leases import Leases
from service.storage.redis_cluster import RedisCluster
from service.storage.redis_link import RedisLink
from service.storage.reports import Reports
from service.storage.runtime_settings import RuntimeSettings

Hot = dict[str, tuple[str, Handler]]


class Parts(Protocol):
    """What the endpoints are made of: `service.app.Service`, as far as this table needs it."""

    settings: Settings
    database: Database
    replica: Database | None
    link: RedisLink | RedisCluster | None
    leases: Leases
    router: Router
    pipeline: Pipeline
    health: Health
    keys: KeyStore
    signer: TokenSigner
    tokens: TokenStore
    revocations: Revocations
    runtime: RuntimeSettings
    audit: Audit
    agents: Registry
    debates: Runner


def routes(service: Parts, gate: Gate, door: Door) -> tuple[Hot, Cold]:
    """The table of everything that is served."""
    settings, pipeline, health = service.settings, service.pipeline, service.health
    size, seconds = settings.max_body_bytes, settings.body_timeout_seconds
    hot: Hot = {
        "/v1/chat/completions": (
            "POST",
            ChatCompletions(gate, pipeline, max_body=size, body_seconds=seconds),
        ),
        "/v1/messages": ("POST", Messages(gate, pipeline, max_body=size, body_seconds=seconds)),
        "/v1/completions": ("POST", Completions(gate, pipeline, max_body=size, body_seconds=seconds)),
        "/health/live": ("GET", health.live),
        "/health/ready": ("GET", health.ready),
        "/health": ("GET", health.report),
    }
    embed = getattr(service.router, "embed", None)
    if embed is not None:
        handler = Embeddings(gate, pipeline, embed, max_body=size, body_seconds=seconds)
        hot["/v1/embeddings"] = ("POST", handler)
    reports = Reports(service.database, service.replica, settings.replica_lag_seconds)
    admin = Admin(door, gate, service.keys, service.revocations, service.audit, reports)
    runtime = Runtimes(door, gate, service.runtime, service.audit)
    tokens = Tokens(
        door, gate, service.signer, service.tokens, service.keys, service.revocations, service.audit
    )
    sessions = Sessions(door, pipeline, Conversations(service.link, service.leases), max_body=size)
    agents = Agents(
        door, pipeline, service.agents, default_model=settings.chat_model, max_body=settings.max_body_bytes
    )
    events = DebateEvents(door, service.debates, DEBATE)
    debates = Debates(
        door,
        service.debates,
        events,
        service.router,
        judge=settings.debate_judge_model,
        embedding=settings.debate_embedding_model,
        request_seconds=settings.request_timeout_seconds,
        max_body=settings.max_body_bytes,
    )
    docs = Docs(settings.version)
    models = Models(door, service.router)  # type: ignore[arg-type]  # the real router lists; fakes need not
    cold: list[BaseRoute] = [
        _route("GET", "/v1/models", models.list),
        _route("GET", "/v1/models/{id:path}", models.get),
        _route("POST", "/v1/sessions", sessions.create),
        _route("GET", "/v1/sessions/{id}", sessions.get),
        _route("DELETE", "/v1/sessions/{id}", sessions.delete),
        _route("POST", "/v1/sessions/{id}/messages", sessions.turn),
        _route("POST", "/v1/debates", debates.create),
        _route("GET", "/v1/debates", debates.list),
        _route("GET", "/v1/debates/{id}", debates.get),
        _route("DELETE", "/v1/debates/{id}", debates.cancel),
        _route("GET", "/v1/debates/{id}/events", events),
        _route("POST", "/chat", agents.chat),
        _route("GET", "/v1/agents", agents.list),
        _route("GET", "/v1/usage", UsageReport(door, reports)),
        _route("POST", "/auth/token", tokens.issue),
        _route("POST", "/auth/refresh", tokens.refresh),
        _route("POST", "/auth/revoke", tokens.revoke),
        _route("POST", "/admin/api-keys", admin.create),
        _route("GET", "/admin/api-keys", admin.list),
        _route("GET", "/admin/api-keys/{id}", admin.get),
        _route("DELETE", "/admin/api-keys/{id}", admin.revoke),
        _route("POST", "/admin/api-keys/{id}/rotate", admin.rotate),
        _route("GET", "/admin/security/report", admin.security_report),
        _route("GET", "/admin/settings", runtime.list),
        _route("GET", "/admin/settings/{id}", runtime.get),
        _route("PUT", "/admin/settings/{id}", runtime.put),
        _route("DELETE", "/admin/settings/{id}", runtime.remove),
        _route("GET", "/openapi.json", docs.openapi),
        _route("GET", "/docs", docs.page),
    ]
    return hot, Cold(cold, {path: method for path, (method, _) in hot.items()})


def _route(method: str, path: str, handler: Handler) -> Route:
    return Route(path, endpoint=Endpoint(handler), methods=[method])
