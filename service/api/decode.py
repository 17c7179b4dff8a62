"""From bytes to typed structs; what does not fit becomes a 400 that names the field."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from service.api.errors import ApiError

T = TypeVar("T")
_PATH: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode or raise `ApiError` 400. The message never repeats what the client sent beyond the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except msgspec.DecodeError as error:
        raise ApiError(400, f"The body is not valid JSON: {str(error)[:200]}") from None
    except RecursionError:
        raise ApiError(400, "The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise ApiError(400, "The body is not valid UTF-8.") from None


def invalid(text: str) -> ApiError:
    """msgspec's sentence, with its path turned into `param`: `$.messages[0].role` → `messages[0].role`."""
    match = _PATH.match(text)
    assert match is not None
    path = (match["path"] or "$").removeprefix("$").lstrip(".")
    what = match["what"][:300]
    missing = re.match(r"Object missing required field `([^`]+)`", what)
    if missing:
        path = f"{path}.{missing[1]}".lstrip(".")
        what = f"'{path}' is required"
    return ApiError(400, f"{what}.", param=path or None)


def plain(value: Any) -> Any:
    """Structs and sets as what JSON knows."""
    return msgspec.to_builtins(value)
