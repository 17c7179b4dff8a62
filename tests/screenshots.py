"""`python -m tests.screenshots`: the pictures in docs/images, taken from a running system.

A system of its own comes up, carries a little load, releases a version and then loses its stores; the
console is photographed on the way. Takes about ten minutes; everything is on loopback and bounded.
"""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from infra.local import supervision
from infra.local.layout import Layout
from tests.browser import Page, browser
from tests.e2e.commands import SuperAgent

PROVIDERS: Final = {
    "providers": [
        {
            "name": "claude",
            "kind": "simulator",
            "models": ["lorem"],
            "prices": {"lorem": {"input": 3.0, "output": 15.0}},
            "options": {"ttft": 0.25, "rate": 90, "tokens": 60},
        },
        {
            "name": "gemini",
            "kind": "simulator",
            "models": ["lorem"],
            "prices": {"lorem": {"input": 1.25, "output": 5.0}},
            "options": {"ttft": 0.12, "rate": 160, "fail": "overloaded", "fail_rate": 0.03},
        },
        {"name": "simulator", "kind": "simulator", "models": ["echo"]},
    ],
    "aliases": {
        "best": ["claude/lorem", "gemini/lorem"],
        "cheap": ["gemini/lorem", "claude/lorem"],
        "simulator": ["simulator/echo"],
    },
}
MODELS: Final = ("best", "cheap", "best", "simulator/echo", "claude/lorem")
CLIENTS: Final = 6
REQUESTS: Final = 4000
"""Of one client at most."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs/images"), show_default=True)
@click.option("--minutes", type=float, default=4.0, show_default=True, help="Load before the release.")
def main(out: Path, minutes: float) -> None:
    """Take the console's pictures during a release and during an incident."""
    out.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="superagent-pictures-"))
    (home / "providers.json").write_text(json.dumps(PROVIDERS))
    settings = {"SUPERAGENT_PROVIDERS_FILE": str(home / "providers.json")}
    superagent = SuperAgent(home / "state")
    said = json.loads(superagent.must("up", "--json", **settings))
    try:
        with load(said["ports"]["api"], said["admin_key"]), browser() as page:
            for words in (("backup", "create"), ("backup", "verify"), ("drill",)):
                superagent.must(*words)
            time.sleep(60 * minutes)  # the charts' left part: load and nothing else
            during_release(page, superagent, said["console"], out, settings)
            during_incident(page, Layout(superagent.home), said["console"], out)
    finally:
        superagent.run("down", "--purge")
        shutil.rmtree(home, ignore_errors=True)


def during_release(
    page: Page, superagent: SuperAgent, console: str, out: Path, settings: dict[str, str]
) -> None:
    """Half of the traffic on each colour."""
    words = ("release", "start", "--version", "v2", "--steps", "10,25,50,100", "--bake", "25s")
    running = superagent.start(*words, **settings)
    until(lambda: read(console, "traffic")["weights"].get("green") == 50, "half of the traffic is on green")
    time.sleep(12)  # two scrapes of the new weights
    picture(page, console, out / "release-dark.png", "dashboard=superagent-release&range=5m&theme=dark")
    picture(page, console, out / "overview-light.png", "dashboard=superagent-production&range=5m&theme=light")
    picture(page, console, out / "phone.png", "dashboard=superagent-production&theme=dark", (390, 844))
    picture(page, console, out / "llm-dark.png", "dashboard=superagent-llm&range=5m&theme=dark")
    output, complaint = running.communicate(timeout=400)
    if running.returncode:
        sys.exit(f"the release failed: {output}{complaint}")


def during_incident(page: Page, place: Layout, console: str, out: Path) -> None:
    """Both stores are gone; answers go on."""
    supervision.stop_all(("postgres", "valkey"), place)

    def fires() -> bool:
        firing = {one["name"] for one in read(console, "alerts")["alerts"] if one["state"] == "firing"}
        return {"SuperAgentDatabaseConnectionFailures", "SuperAgentRedisDown"} <= firing

    until(fires, "both alerts fire", 300)
    picture(page, console, out / "incident-dark.png", "dashboard=superagent-production&range=5m&theme=dark")
    page.run("document.querySelector('#verdict .alerts button').click()")
    page.until("document.querySelector('#drawer').open && document.querySelector('#drawer h3')")
    time.sleep(0.5)  # the drawer slides in
    page.picture(out / "runbook-dark.png")


def picture(page: Page, console: str, path: Path, query: str, size: tuple[int, int] = (1440, 1000)) -> None:
    """One picture, once everything that can be seen is drawn."""
    page.open(f"{console}/?{query}", *size, phone=size[0] < 600)
    drawn = "[...document.querySelectorAll('.panel')].every(e => !e.panel.visible || e.dataset.state)"
    page.until(f"document.body?.dataset.ready && {drawn}")
    time.sleep(1.2)  # moving weights come to rest
    page.picture(path)
    click.echo(path)


def read(console: str, what: str) -> Any:
    """A view of the console."""
    with urllib.request.urlopen(f"{console}/api/{what}", timeout=15) as answer:
        return json.load(answer)


def until(ready: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Wait for a condition; exit with its name when it does not come."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.5)


@contextmanager
def load(port: int, key: str) -> Iterator[None]:
    """A few clients without cookies, so that both colours are asked as their weights say."""
    over = threading.Event()
    threads = [
        threading.Thread(target=_client, args=(port, key, over, n), daemon=True) for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def _client(port: int, key: str, over: threading.Event, number: int) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for turn in itertools.islice(itertools.count(number), REQUESTS):
        if over.wait(0.15 + 0.1 * (turn % 3)):
            break
        text = f"Hello {turn % 40 if turn % 2 else turn}"
        message = {"role": "user", "content": text}
        body = {"model": MODELS[turn % len(MODELS)], "messages": [message], "stream": turn % 3 == 0}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
    connection.close()


if __name__ == "__main__":
    main()
