"""What an environment contains, as a CycloneDX 1.6 document on stdout; the standard library is enough.

`python sbom.py` describes the interpreter's own environment; it runs inside the image's build stage too. No
serial number and no time: the same packages give the same bytes.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from typing import Any


def document(name: str, version: str, distributions: list[metadata.Distribution]) -> dict[str, Any]:
    """The document for a set of installed distributions."""
    found = sorted((_component(one) for one in distributions), key=lambda one: str(one["purl"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": name, "version": version}},
        "components": found,
    }


def closure(roots: list[str]) -> list[metadata.Distribution]:
    """The installed distributions that these names need, themselves included; optional extras are not."""
    found: dict[str, metadata.Distribution] = {}
    todo = [normal(root) for root in roots]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # a marker excludes it here
        for requirement in found[name].requires or []:
            if "extra ==" not in requirement:
                todo.append(normal(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]))
    return list(found.values())


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(one: metadata.Distribution) -> dict[str, Any]:
    name, version = normal(one.metadata["Name"]), one.version
    component: dict[str, Any] = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "bom-ref": f"pkg:pypi/{name}@{version}",
    }
    fields: Any = one.metadata  # an email.message.Message, whatever its declared type
    if expression := fields.get("License-Expression"):
        component["licenses"] = [{"expression": expression}]
    elif (text := fields.get("License", "")) and len(text) < 80:
        component["licenses"] = [{"license": {"name": text}}]
    return component


if __name__ == "__main__":
    json.dump(document("superagent", "image", list(metadata.distributions())), sys.stdout, indent=1)
