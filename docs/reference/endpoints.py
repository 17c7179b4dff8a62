"""Every endpoint of the service, from its OpenAPI document."""

from __future__ import annotations

from docs.reference.markdown import code, page, table
from service.api import openapi


def render() -> str:
    """The page."""
    rows = [
        (
            code(f"{method.upper()} {path}"),
            operation["tags"][0],
            operation["summary"],
            ", ".join(code(one["name"]) for one in operation["parameters"] if one["in"] == "query") or "–",
        )
        for path, operations in openapi.document("").get("paths", {}).items()
        for method, operation in operations.items()
    ]
    about = (
        "The running service shows the whole document, with every field, at `/docs` and `/openapi.json`. "
        "`/metrics` is on its own port."
    )
    return page("Endpoints", about, table(("Endpoint", "Area", "What it does", "Query"), rows))
