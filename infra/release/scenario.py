"""Smoke scenarios: read strictly from a file, judged purely. The default one is `smoke.yaml`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import yaml

from infra.errors import UserError
from infra.release.wire import Answer

DEFAULT: Final = Path(__file__).with_name("smoke.yaml")
VARIABLES: Final = frozenset({"version", "model"})
"""`${version}`: what is released; `${model}`: a model that the new colour offers (`smoke.choose`)."""
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream of server-sent events must look like."""

    events: int = 1
    """At least so many `data:` lines."""
    ends_with: str = ""
    """The last `data:` line."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One request and what must be true of its answer."""

    name: str
    path: str
    method: str = "GET"
    body: Any = None
    anonymous: bool = False
    """Send no API key."""
    probe: bool = False
    """Repeat this one while a step is watched."""
    status: int = 200
    within: float = 10.0
    """Seconds to the last byte."""
    first_byte_within: float = 0.0
    """Seconds to the first byte; 0: no limit of its own."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Response headers and their exact values."""
    json: Mapping[str, Any] = field(default_factory=dict)
    """Dotted paths into the JSON answer and their values."""
    contains: str = ""
    """Text somewhere in the body."""
    stream: Stream | None = None


def load(path: Path) -> list[Scenario]:
    """The scenarios of a file (YAML, of which JSON is a part). Raises `UserError` with place and fix."""
    try:
        found = yaml.safe_load(path.read_text())
    except OSError as failed:
        raise UserError(
            f"Smoke file {path}: {failed.strerror}.", "Check the path given with --smoke."
        ) from None
    except yaml.YAMLError as failed:
        raise UserError(f"Smoke file {path} is not YAML: {failed}.", "Mend it, then try again.") from None
    listed = found.get("scenarios") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not listed:
        raise UserError(f"Smoke file {path} has no list `scenarios`.", f"Compare it with {DEFAULT.name}.")
    return [_scenario(item, f"{path}: scenario {number}") for number, item in enumerate(listed, 1)]


def problem(scenario: Scenario, answer: Answer, variables: Mapping[str, str]) -> str | None:
    """The first thing that is wrong with an answer, or `None`."""
    if answer.status != scenario.status:
        return f"status {answer.status}, expected {scenario.status}: {_excerpt(answer.body)}"
    for name, wanted in scenario.headers.items():
        value = answer.headers.get(name.lower())
        if value != fill(wanted, variables):
            return f"header {name} is {value!r}, expected {fill(wanted, variables)!r}"
    if answer.total > scenario.within:
        return f"took {answer.total:.2f} s, at most {scenario.within:g} s are allowed"
    if scenario.first_byte_within and answer.first_byte > scenario.first_byte_within:
        return f"first byte after {answer.first_byte:.2f} s, allowed: {scenario.first_byte_within:g} s"
    if scenario.contains and fill(scenario.contains, variables) not in answer.body.decode(errors="replace"):
        return f"the body lacks {scenario.contains!r}: {_excerpt(answer.body)}"
    return _json_problem(scenario, answer, variables) or _stream_problem(scenario, answer)


def variables(scenario: Scenario) -> set[str]:
    """Names that `${…}` mentions anywhere in a scenario."""
    return set(_VARIABLE.findall(json.dumps(asdict(scenario), default=str)))


def fill(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace `${name}` in every string of a JSON-like value."""
    if isinstance(value, str):
        for name, text in variables.items():
            value = value.replace(f"${{{name}}}", text)
        return value
    if isinstance(value, Mapping):
        return {key: fill(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, variables) for item in value]
    return value


def _json_problem(scenario: Scenario, answer: Answer, variables: Mapping[str, str]) -> str | None:
    if not scenario.json:
        return None
    try:
        document = json.loads(answer.body)
    except ValueError:
        return f"the body is not JSON: {_excerpt(answer.body)}"
    for path, wanted in scenario.json.items():
        value = _dig(document, path)
        if value != fill(wanted, variables):
            return f"{path} is {value!r}, expected {fill(wanted, variables)!r}"
    return None


def _stream_problem(scenario: Scenario, answer: Answer) -> str | None:
    if scenario.stream is None:
        return None
    lines = answer.body.decode(errors="replace").splitlines()
    events = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    if len(events) < scenario.stream.events:
        return f"{len(events)} events, expected at least {scenario.stream.events}"
    if scenario.stream.ends_with and events[-1] != scenario.stream.ends_with:
        return f"the stream ends with {events[-1][:80]!r}, expected {scenario.stream.ends_with!r}"
    return None


def _dig(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value


def _excerpt(body: bytes) -> str:
    return repr(body.decode(errors="replace")[:120])


def _scenario(item: Any, where: str) -> Scenario:
    if not isinstance(item, dict) or not {"name", "path"} <= set(item):
        raise UserError(f"{where} needs `name` and `path`.", f"Compare it with {DEFAULT.name}.")
    known = {one.name for one in fields(Scenario)}
    if unknown := sorted(set(item) - known):
        raise UserError(f"{where}: unknown field {unknown[0]!r}.", f"Known: {', '.join(sorted(known))}.")
    values = dict(item)
    for name, kinds in _KINDS.items():
        if name in values and (
            not isinstance(values[name], kinds) or isinstance(values[name], bool) != (kinds is bool)
        ):
            raise UserError(
                f"{where}: {name} {values[name]!r} has the wrong type.", "See docs/operations/release.md."
            )
    if "stream" in values:
        stream = values["stream"]
        if not isinstance(stream, dict) or set(stream) - {"events", "ends_with"}:
            raise UserError(
                f"{where}: stream {stream!r} is not {{events, ends_with}}.", "Mend it, then try again."
            )
        values["stream"] = Stream(**stream)
    made = Scenario(**values)
    if strange := sorted(variables(made) - VARIABLES):
        raise UserError(
            f"{where}: ${{{strange[0]}}} is no variable.",
            f"Known: {', '.join(f'${{{name}}}' for name in sorted(VARIABLES))}.",
        )
    return made


_KINDS: Final[dict[str, Any]] = {
    "name": str,
    "path": str,
    "method": str,
    "anonymous": bool,
    "probe": bool,
    "status": int,
    "within": (int, float),
    "first_byte_within": (int, float),
    "headers": dict,
    "json": dict,
    "contains": str,
}
