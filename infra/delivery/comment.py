"""Post what a preview wrote as one sticky comment a topic: the second stage, which has a token.

    python -m infra.delivery.comment --folder comments --head SHA

Standard library only: nothing is installed, and none of the pull request's code is here. What is in the
folder was written by that code, so it is data: whose it is, GitHub is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.delivery.untrusted import clean, cut

PREFIX: Final = "comment-"
TOPIC: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
MOST_TOPICS: Final = 8
MOST_BYTES: Final = 1_000_000
AUTHOR: Final = "github-actions[bot]"
PAGE: Final = 100

Ask = Callable[[str, str, dict[str, Any] | None], Any]
"""Method, path below the repository, body; the decoded answer."""


class Refused(Exception):
    """The input cannot be used; exit code 2."""


@dataclass(frozen=True, slots=True)
class Said:
    """One topic of one pull request."""

    topic: str
    pull: int
    text: str

    @property
    def marker(self) -> str:
        """Hidden first line by which the comment is found again."""
        return f"<!-- superagent:{self.topic} -->"

    @property
    def body(self) -> str:
        return f"{self.marker}\n{cut(clean(self.text))}"


def read(folder: Path) -> list[Said]:
    """What lies in `folder`: `comment-<topic>/comment.md` and `number`. Raises `Refused`."""
    found = sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and not path.is_symlink())
    if len(found) > MOST_TOPICS:
        raise Refused(f"{len(found)} topics in {folder}: at most {MOST_TOPICS} are posted.")
    return [_read(path) for path in found]


def _read(path: Path) -> Said:
    topic = path.name.removeprefix(PREFIX)
    if TOPIC.fullmatch(topic) is None:
        raise Refused(f"{topic!r} is no topic: lower-case letters, digits and hyphens.")
    number = _text(path / "number").strip()
    if re.fullmatch(r"[1-9]\d{0,8}", number) is None:
        raise Refused(f"{path.name}/number is no number of a pull request.")
    return Said(topic, int(number), _text(path / "comment.md"))


def _text(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        raise Refused(f"{path.parent.name}/{path.name} is missing or no file.")
    if path.stat().st_size > MOST_BYTES:
        raise Refused(f"{path.parent.name}/{path.name} has more than {MOST_BYTES} bytes.")
    return path.read_bytes().decode("utf-8", "replace")


def post(ask: Ask, said: Said, head: str) -> str:
    """Write the comment, or overwrite the one that is there; a word about what was done.

    Nothing is written when the pull request is closed or has moved on: a newer run will say it.
    """
    pull = ask("GET", f"/pulls/{said.pull}", None)
    if pull["state"] != "open":
        return "closed"
    if pull["head"]["sha"] != head:
        return "superseded"
    mine = [one["id"] for one in _comments(ask, said.pull) if _ours(one, said.marker)]
    for extra in mine[1:]:
        ask("DELETE", f"/issues/comments/{extra}", None)
    if mine:
        ask("PATCH", f"/issues/comments/{mine[0]}", {"body": said.body})
        return "updated"
    ask("POST", f"/issues/{said.pull}/comments", {"body": said.body})
    return "created"


def _ours(comment: dict[str, Any], marker: str) -> bool:
    author = (comment.get("user") or {}).get("login")
    return author == AUTHOR and str(comment.get("body", "")).startswith(marker)


def _comments(ask: Ask, pull: int) -> Iterator[dict[str, Any]]:
    page = 1
    while True:
        found = ask("GET", f"/issues/{pull}/comments?per_page={PAGE}&page={page}", None)
        yield from found
        if len(found) < PAGE:
            return
        page += 1


def github(base: str, repository: str, token: str) -> Ask:
    """GitHub's REST API below one repository."""

    def ask(method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is the runner's own GITHUB_API_URL
            f"{base}/repos/{repository}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    return ask


def main(words: list[str] | None = None) -> int:
    """Exit code 0: said, or not needed any more; 1: GitHub refused; 2: the input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.comment", description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the artifacts were unpacked")
    parser.add_argument("--head", required=True, help="commit that the preview ran for")
    parser.add_argument("--dry-run", action="store_true", help="print the comments instead")
    given = parser.parse_args(words)
    try:
        found = read(given.folder)
        if given.dry_run:
            print("\n".join(f"{one.topic} #{one.pull}\n{one.body}" for one in found))  # noqa: T201
            return 0
        missing = [name for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN") if not os.environ.get(name)]
        if missing:
            raise Refused(f"{missing[0]} is not set: this runs in a workflow, with the job's token.")
        base = os.environ.get("GITHUB_API_URL", "https://api.github.com")
        ask = github(base, os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"])
        for one in found:
            print(f"{one.topic} #{one.pull}: {post(ask, one, given.head)}")  # noqa: T201
    except Refused as wrong:
        print(f"Error: {wrong}", file=sys.stderr)  # noqa: T201
        return 2
    except (urllib.error.URLError, TimeoutError, ValueError, KeyError, TypeError) as failed:
        reason = (
            f"HTTP {failed.code}" if isinstance(failed, urllib.error.HTTPError) else type(failed).__name__
        )
        print(f"Error: GitHub did not take it: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
