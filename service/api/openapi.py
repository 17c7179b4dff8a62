"""The OpenAPI document, made from the structs that decode the requests, so that it cannot lie about them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from service.api import agents, completions, embeddings, openai_request, sessions, tokens
from service.api import anthropic_messages as anthropic
from service.api.admin import NewKey, Rotation
from service.api.debate_request import DebateRequest
from service.api.runtime import NewValue

REF: Final = "#/components/schemas/{name}"
ANY: Final[dict[str, Any]] = {"type": "object"}

# (method, path, tag, summary, body, status of success, query parameters)
Operation = tuple[str, str, str, str, type | None, int, tuple[tuple[str, dict[str, Any], str], ...]]
_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "format": "date-time"}
OPERATIONS: Final[tuple[Operation, ...]] = (
    ("post", "/v1/chat/completions", "OpenAI", "Answer a conversation.", openai_request.ChatRequest, 200, ()),
    ("post", "/v1/completions", "OpenAI", "Continue a text.", completions.CompletionRequest, 200, ()),
    ("post", "/v1/embeddings", "OpenAI", "Embed texts.", embeddings.EmbeddingsBody, 200, ()),
    ("get", "/v1/models", "OpenAI", "List models and aliases.", None, 200, ()),
    ("get", "/v1/models/{id}", "OpenAI", "One model.", None, 200, ()),
    ("post", "/v1/messages", "Anthropic", "Answer a conversation.", anthropic.MessagesRequest, 200, ()),
    ("post", "/v1/sessions", "Sessions", "Begin a conversation kept here.", sessions.NewSession, 201, ()),
    ("get", "/v1/sessions/{id}", "Sessions", "Read it.", None, 200, ()),
    ("delete", "/v1/sessions/{id}", "Sessions", "End it.", None, 200, ()),
    ("post", "/v1/sessions/{id}/messages", "Sessions", "Say something in it.", sessions.Turn, 200, ()),
    ("post", "/v1/debates", "Debates", "Let models argue, as `mode` says.", DebateRequest, 200, ()),
    (
        "get", "/v1/debates", "Debates", "Own debates, newest first.", None, 200,
        (
            ("status", {"enum": ["running", "completed", "failed", "cancelled"]}, "Only these."),
            ("before", {"type": "string", "maxLength": 200}, "Id of the last one of the page before."),
            ("limit", {"type": "integer", "minimum": 1, "maximum": 100}, "Default 20."),
        ),
    ),
    ("get", "/v1/debates/{id}", "Debates", "A debate as far as it is.", None, 200, ()),
    ("delete", "/v1/debates/{id}", "Debates", "Cancel it.", None, 200, ()),
    ("get", "/v1/debates/{id}/events", "Debates", "Follow it, from `Last-Event-ID` on.", None, 200, ()),
    ("post", "/chat", "Agents", "Let the surest agent answer, or a model.", agents.ChatMessage, 200, ()),
    ("get", "/v1/agents", "Agents", "The agents and what they have done.", None, 200, ()),
    (
        "get", "/v1/usage", "Usage", "The ledger, grouped; own account, or all for an admin.", None, 200,
        (
            ("group_by", _TEXT, "Some of key, model, provider, endpoint, outcome, cache, hour, day, month."),
            ("from", _TIME, "Default: 30 days before `to`."),
            ("to", _TIME, "Default: now."),
            ("key", {"type": "string", "maxLength": 200}, "Only this key."),
            ("limit", {"type": "integer", "minimum": 1, "maximum": 10000}, "Most groups."),
        ),
    ),
    ("post", "/auth/token", "Auth", "Tokens for a key.", tokens.TokenRequest, 200, ()),
    ("post", "/auth/refresh", "Auth", "A new pair; a refresh token works once.", tokens.Refresh, 200, ()),
    ("post", "/auth/revoke", "Auth", "End a token.", tokens.Revocation, 200, ()),
    ("post", "/admin/api-keys", "Admin", "Make a key; it is shown this once.", NewKey, 201, ()),
    ("get", "/admin/api-keys", "Admin", "List keys with their use.", None, 200, ()),
    ("get", "/admin/api-keys/{id}", "Admin", "One key.", None, 200, ()),
    ("delete", "/admin/api-keys/{id}", "Admin", "Revoke a key, everywhere within a second.", None, 200, ()),
    ("post", "/admin/api-keys/{id}/rotate", "Admin", "A new key; the old one overlaps.", Rotation, 201, ()),
    ("get", "/admin/security/report", "Admin", "Keys, events and suspicious patterns.", None, 200, ()),
    ("get", "/admin/settings", "Admin", "What can be changed while it runs.", None, 200, ()),
    ("get", "/admin/settings/{id}", "Admin", "One such setting.", None, 200, ()),
    ("put", "/admin/settings/{id}", "Admin", "Change it, everywhere within seconds.", NewValue, 200, ()),
    ("delete", "/admin/settings/{id}", "Admin", "Back to the environment's value.", None, 200, ()),
    ("get", "/health/live", "Health", "200 while the process answers.", None, 200, ()),
    ("get", "/health/ready", "Health", "200 when it may take traffic.", None, 200, ()),
    ("get", "/health", "Health", "State of the service and its dependencies.", None, 200, ()),
)  # fmt: skip
EVENTS: Final = "/v1/debates/{id}/events"
TURN: Final = "/v1/sessions/{id}/messages"
OPEN: Final = frozenset({"/auth/refresh", "/auth/revoke", "/health/live", "/health/ready", "/health"})
_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "request_id": {"type": "string"},
                "retry_after": {"type": ["number", "null"], "description": "Seconds."},
            },
        }
    },
}
_FAILURES: Final = {
    "400": "The request is wrong; `param` names the field.",
    "401": "No or no valid credentials.",
    "402": "The budget of this month is spent.",
    "403": "The permission is missing.",
    "404": "There is no such thing.",
    "408": "The body did not arrive in time.",
    "409": "Somebody else was faster.",
    "413": "The body is too large.",
    "429": "Too many requests or tokens; `Retry-After` tells.",
    "500": "Our fault.",
    "501": "Not configured here.",
    "502": "The provider failed.",
    "503": "Something needed is away; `Retry-After` tells.",
    "504": "The provider was too slow.",
}


def document(version: str) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    bodies = [operation[4] for operation in OPERATIONS if operation[4] is not None]
    schemas, components = msgspec.json.schema_components(bodies, ref_template=REF)
    by_type = {id(body): schema for body, schema in zip(bodies, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for method, path, tag, summary, body, status, parameters in OPERATIONS:
        described: dict[str, Any] = {
            "tags": [tag],
            "summary": summary,
            "operationId": f"{method} {path}",
            "parameters": [*_path_parameters(path), *[_query(*one) for one in parameters]],
            "responses": _responses(path, status),
        }
        if body is not None:
            content = {"application/json": {"schema": by_type[id(body)]}}
            described["requestBody"] = {"required": True, "content": content}
        if path in OPEN:
            described["security"] = []
        paths.setdefault(path, {})[method] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SuperAgent",
            "version": version,
            "description": "An LLM gateway: OpenAI's and Anthropic's APIs over many providers.",
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key `sk-…` or a token."}
            },
        },
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    if "{id}" not in path:
        return []
    return [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _responses(path: str, status: int) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": ANY}}
    if path in ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/debates", EVENTS, TURN):
        content["text/event-stream"] = {"schema": {"type": "string"}}
    responses: dict[str, Any] = {str(status): {"description": "Done.", "content": content}}
    if path == "/v1/debates":
        begun = {"application/json": {"schema": ANY}}
        responses["202"] = {"description": "Begun; `Location` is where to look.", "content": begun}
    if path == "/health/ready":
        responses["503"] = {
            "description": "Not now; `reasons` tell.",
            "content": {"application/json": {"schema": ANY}},
        }
    if path.startswith("/health"):
        return responses
    error = {"application/json": {"schema": {"$ref": REF.format(name="Error")}}}
    for code, text in _FAILURES.items():
        responses[code] = {"description": text, "content": error}
    return responses
