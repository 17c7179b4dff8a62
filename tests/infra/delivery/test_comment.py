"""The second stage of previews: what a fork wrote is data, and one comment a topic is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.delivery import comment
from infra.delivery.comment import AUTHOR, Refused, Said, post, read
from infra.delivery.untrusted import LIMIT, clean, cut

HEAD = "a" * 40


class GitHub:
    """Pull requests and comments, as the REST API keeps them."""

    def __init__(self, head: str = HEAD, state: str = "open") -> None:
        self.pull = {"state": state, "head": {"sha": head}}
        self.comments: list[dict[str, Any]] = []
        self.writes: list[str] = []

    def add(self, body: str, login: str = AUTHOR) -> None:
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"login": login}})

    def ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        if method == "GET" and path.startswith("/pulls/"):
            return self.pull
        if method == "GET":
            query = dict(pair.split("=") for pair in path.partition("?")[2].split("&"))
            size, page = int(query["per_page"]), int(query["page"])
            return self.comments[(page - 1) * size : page * size]
        self.writes.append(f"{method} {path}")
        number = int(path.rsplit("/", 1)[-1]) if "comments/" in path else 0
        if method == "POST":
            assert body is not None
            self.add(body["body"])
        elif method == "PATCH":
            assert body is not None
            next(one for one in self.comments if one["id"] == number)["body"] = body["body"]
        else:
            self.comments = [one for one in self.comments if one["id"] != number]
        return None


SAID = Said("prod", 7, "## Preview\n")


def test_the_first_preview_makes_a_comment_and_the_next_one_overwrites_it() -> None:
    hub = GitHub()
    assert post(hub.ask, SAID, HEAD) == "created"
    assert post(hub.ask, Said("prod", 7, "## Newer\n"), HEAD) == "updated"
    assert [one["body"].splitlines() for one in hub.comments] == [["<!-- superagent:prod -->", "## Newer"]]


def test_each_topic_has_its_own_comment() -> None:
    hub = GitHub()
    for topic in ("prod", "dev", "pulumi-prod", "prod"):
        post(hub.ask, Said(topic, 7, "x"), HEAD)
    assert len(hub.comments) == 3


def test_the_comment_is_found_behind_a_hundred_others_and_doubles_are_removed() -> None:
    hub = GitHub()
    for _ in range(150):
        hub.add("words", "somebody")
    hub.add(SAID.body)
    hub.add(SAID.body)
    assert post(hub.ask, SAID, HEAD) == "updated"
    assert sum(one["user"]["login"] == AUTHOR for one in hub.comments) == 1


def test_a_comment_of_somebody_else_with_the_marker_is_left_alone() -> None:
    hub = GitHub()
    hub.add(SAID.body, "mallory")
    assert post(hub.ask, SAID, HEAD) == "created"
    assert hub.writes == ["POST /issues/7/comments"]


@pytest.mark.parametrize(
    ("hub", "word"),
    [(GitHub(head="b" * 40), "superseded"), (GitHub(state="closed"), "closed")],
)
def test_a_pull_request_that_is_another_one_or_closed_gets_nothing(hub: GitHub, word: str) -> None:
    # The number came out of an artifact: a fork can write any number there, but not another's head commit.
    assert post(hub.ask, SAID, HEAD) == word
    assert hub.writes == []


def topic(folder: Path, name: str = "comment-prod", number: str = "7", text: str = "hello") -> Path:
    (folder / name).mkdir()
    (folder / name / "number").write_text(number)
    (folder / name / "comment.md").write_text(text)
    return folder


def test_the_artifacts_are_read(tmp_path: Path) -> None:
    topic(topic(tmp_path), "comment-pulumi-prod", "7\n", "plan")
    assert read(tmp_path) == [Said("prod", 7, "hello"), Said("pulumi-prod", 7, "plan")]


@pytest.mark.parametrize(
    ("name", "number", "said"),
    [
        ("comment-Prod", "7", "no topic"),
        ("comment-x --> <b>", "7", "no topic"),
        ("comment-prod", "7; rm", "no number"),
        ("comment-prod", "0", "no number"),
        ("comment-prod", "", "no number"),
        ("comment-prod", "../../orgs/acme", "no number"),
    ],
)
def test_names_and_numbers_that_are_none_are_refused(
    tmp_path: Path, name: str, number: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        read(topic(tmp_path, name, number))


def test_links_out_of_the_folder_large_files_and_many_topics_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    linked = tmp_path / "linked"
    linked.mkdir()
    topic(linked)
    (linked / "comment-prod" / "comment.md").unlink()
    (linked / "comment-prod" / "comment.md").symlink_to(secret)
    with pytest.raises(Refused, match="no file"):
        read(linked)
    large = tmp_path / "large"
    large.mkdir()
    with pytest.raises(Refused, match="bytes"):
        read(topic(large, text="x" * (comment.MOST_BYTES + 1)))
    many = tmp_path / "many"
    many.mkdir()
    for number in range(comment.MOST_TOPICS + 1):
        topic(many, f"comment-t{number}")
    with pytest.raises(Refused, match="topics"):
        read(many)


def test_what_could_harm_is_taken_out_and_the_tables_stay() -> None:
    text = clean(
        "| a | b |\n|---|---|\n<details><summary>x</summary>\n\n```diff\n- a\n```\n</details>\n"
        "@maintainer #12 [click](https://evil.example) ![i](https://evil.example/x.png)\n"
        '<img src="x"><script>alert(1)</script><!-- superagent:dev --><a href="https://e.example">y</a>\r\n'
        "www.evil.example\u202e\x00"
    )
    assert "| a | b |\n|---|---|\n<details><summary>x</summary>" in text
    assert "```diff\n- a\n```\n</details>" in text
    for bad in ("@maintainer", "#12", "](", "![", "<img", "<script", "<!--", "<a ", "https://", "www.evil"):
        assert bad not in text
    assert "\u202e" not in text and "\x00" not in text


def test_a_marker_in_the_text_does_not_take_another_comment_over() -> None:
    assert Said("prod", 7, "<!-- superagent:dev -->\nx").body == "<!-- superagent:prod -->\nx\n"
    assert "<!--" not in clean("<<!-- -->!-- superagent:dev -->")


@settings(max_examples=20)
@given(st.text(max_size=400).map(lambda text: text * 400))
def test_a_comment_is_never_longer_than_github_takes(text: str) -> None:
    assert len(Said("prod", 7, text).body) <= 65_536


def test_a_cut_closes_what_it_opened() -> None:
    text = cut("<details><summary>x</summary>\n```diff\n" + "- a line\n" * 20_000)
    assert len(text) <= LIMIT
    assert text.count("```") % 2 == 0
    assert text.count("<details>") == text.count("</details>")
    assert text.endswith("artifact of the run.\n")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """GitHub's API on loopback; the environment names it."""
    hub = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            denied = self.headers["Authorization"] != "Bearer the-token"
            answer = None if denied else hub.ask(self.command, self.path.removeprefix("/repos/o/r"), body)
            self.send_response(401 if denied else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *words: Any) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{running.server_port}")
    monkeypatch.setenv("GITHUB_REPOSITORY", "o/r")
    monkeypatch.setenv("GITHUB_TOKEN", "the-token")
    yield hub
    running.shutdown()
    running.server_close()
    thread.join()


def test_the_command_posts_every_topic(
    server: GitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic(topic(tmp_path), "comment-dev")
    assert comment.main(["--folder", str(tmp_path), "--head", HEAD]) == 0
    assert capsys.readouterr().out.splitlines() == ["dev #7: created", "prod #7: created"]
    assert len(server.comments) == 2


def test_the_command_says_when_github_refuses_and_never_shows_the_token(
    server: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "another-token")
    assert comment.main(["--folder", str(topic(tmp_path)), "--head", HEAD]) == 1
    said = capsys.readouterr()
    assert "HTTP 401" in said.err
    assert "another-token" not in said.err + said.out


def test_the_command_refuses_what_it_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    assert comment.main(["--folder", str(topic(tmp_path)), "--head", HEAD]) == 2
    assert "is not set" in capsys.readouterr().err
    assert comment.main(["--folder", str(tmp_path), "--head", HEAD, "--dry-run"]) == 0
    assert "hello" in capsys.readouterr().out


def test_the_second_stage_needs_nothing_but_python(tmp_path: Path) -> None:
    import subprocess
    import sys

    from infra.home import CHECKOUT

    words = [
        sys.executable,
        "-S",
        "-E",
        "-m",
        "infra.delivery.comment",
        "--folder",
        str(tmp_path),
        "--head",
        HEAD,
    ]
    done = subprocess.run([*words, "--dry-run"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
