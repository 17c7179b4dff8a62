"""`/openapi.json` and `/docs`: the document, and a page made of it that loads nothing from elsewhere."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from typing import Any, Final

import orjson

from service.api.exchange import JSON, Exchange

STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
code,pre{font:14px/1.4 ui-monospace,monospace;background:#f3f4f6;border-radius:4px;padding:.1em .3em}
pre{padding:.8em;overflow:auto}summary{cursor:pointer;padding:.3em 0}
.m{display:inline-block;min-width:4.5em;font-weight:600}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.2em .6em;border-bottom:1px solid #e5e7eb;vertical-align:top}
@media(prefers-color-scheme:dark){body{background:#111418;color:#e6e8eb}code,pre{background:#1d2228}
td,th{border-color:#2c333b}}
"""
_HASH: Final = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'".encode()


class Docs:
    """Both are rendered when first asked for: a start need not wait for them."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._json = b""
        self._page = b""

    async def openapi(self, exchange: Exchange) -> None:
        if not self._json:
            self._json = orjson.dumps(self._document())
        await exchange.respond(200, [JSON], self._json)

    async def page(self, exchange: Exchange) -> None:
        if not self._page:
            self._page = render(self._document()).encode()
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", POLICY)]
        await exchange.respond(200, headers, self._page)

    def _document(self) -> dict[str, Any]:
        from service.api.openapi import document

        return document(self._version)


def render(document: dict[str, Any]) -> str:
    """The document as a page."""
    schemas = document["components"]["schemas"]
    parts = [f"<h1>{escape(document['info']['title'])}</h1><p>{escape(document['info']['description'])}</p>"]
    parts.append('<p>The same as data: <a href="/openapi.json">/openapi.json</a></p>')
    tag = ""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                parts.append(f"<h2>{escape(tag)}</h2>")
            parts.append(_operation(method, path, operation, schemas))
    title = escape(document["info"]["title"])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    body = "".join(parts)
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    inner = []
    rows = [
        (one["name"], one["in"], _kind(one["schema"], schemas), one.get("description", ""))
        for one in operation["parameters"]
    ]
    body = operation.get("requestBody")
    if body is not None:
        schema = _resolve(body["content"]["application/json"]["schema"], schemas)
        required = schema.get("required", [])
        rows += [
            (
                name,
                "body, required" if name in required else "body",
                _kind(one, schemas),
                one.get("description", ""),
            )
            for name, one in schema.get("properties", {}).items()
        ]
    if rows:
        cells = "".join(
            f"<tr><td><code>{escape(name)}</code></td><td>{escape(place)}</td><td>{escape(kind)}</td>"
            f"<td>{escape(text)}</td></tr>"
            for name, place, kind, text in rows
        )
        inner.append(f"<table><tr><th>Field</th><th>Where</th><th>Type</th><th></th></tr>{cells}</table>")
    codes = " · ".join(f"{code} {escape(one['description'])}" for code, one in operation["responses"].items())
    return (
        f'<details><summary><span class="m">{method.upper()}</span><code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary>{''.join(inner)}<p><small>{codes}</small></p></details>"
    )


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    found: dict[str, Any] = schemas[reference.rsplit("/", 1)[1]] if reference else schema
    return found


def _kind(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one, schemas) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(str(one) for one in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}), schemas)}"
    limits = [
        f"≥ {schema['minimum']}" if "minimum" in schema else "",
        f"≤ {schema['maximum']}" if "maximum" in schema else "",
    ]
    return " ".join([str(kind), *filter(None, limits)])
