"""The page in a real browser, on a real Prometheus: what a person sees, can reach and can change."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.console import library
from infra.local.console.server import Views, serve
from infra.local.console.sources import fixed
from tests.browser import Page, browser
from tests.infra.local.console_data import prometheus
from tests.parts import wait_until

pytestmark = pytest.mark.component
READY = "document.body?.dataset.ready"
ALL_DRAWN = "[...document.querySelectorAll('.panel')].every(e => !e.panel.visible || e.dataset.state)"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus(tmp_path_factory.mktemp("prometheus")) as url:

        def firing() -> bool:
            with urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=5) as answer:
                return len(json.load(answer)["data"]["alerts"]) == 2

        wait_until(firing, "both alerts fire")
        yield url


class Console:
    """A running console whose traffic and parts a test may change."""

    def __init__(self, source: str) -> None:
        self.weights: dict[str, int] = {"blue": 75, "green": 25}
        self.parts: list[dict[str, Any]] = [part("postgres"), part("blue-1"), part("valkey", "refused")]
        self.server = serve(0, Views(fixed(source, "http://127.0.0.1:1"), self._parts, self._traffic))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _parts(self) -> dict[str, Any]:
        return {"parts": self.parts}

    def _traffic(self) -> dict[str, Any]:
        versions = {"blue": "v1", "green": "v2"}
        return {"versions": versions, "weights": self.weights, "unhealthy": [], "problem": ""}


def part(name: str, problem: str = "") -> dict[str, Any]:
    return {
        "part": name, "state": "RUNNING", "version": "1", "healthy": not problem,
        "problem": problem, "seconds": 60, "needed": True,
    }  # fmt: skip


@pytest.fixture
def console(source: str) -> Iterator[Console]:
    found = Console(source)
    thread = threading.Thread(target=found.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join(5)


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


Open = Callable[..., Page]


@pytest.fixture
def show(console: Console, tab: Page) -> Open:
    """Open the page with these parameters and wait until what can be seen is drawn."""

    def open_(query: str = "range=15m", width: int = 1440, height: int = 1000, **more: Any) -> Page:
        tab.open(f"{console.url}/?{query}", width, height, **more)
        tab.until(f"{READY} && {ALL_DRAWN}")
        return tab

    return open_


def text(page: Page, selector: str) -> str:
    found: str = page.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
    return found


def panel(title: str) -> str:
    return f'.panel[data-title="{title}"]'


def test_every_panel_of_the_dashboard_stands_on_the_page(show: Open) -> None:
    page = show("range=15m&dashboard=superagent-production")
    board = json.loads(Path("dashboards/json/superagent-production.json").read_text())
    titles = [one["title"] for one in board["panels"] if one["type"] != "row"]
    assert page.run("[...document.querySelectorAll('.panel h3')].map(e => e.textContent)") == titles
    assert page.errors() == []


def test_numbers_are_those_of_prometheus(show: Open) -> None:
    page = show()
    assert text(page, panel("Requests") + " .value") == "12.1 req/s"
    assert text(page, panel("Error ratio") + " .value") == "0.55 %"
    assert page.run(f"document.querySelector('{panel('Requests')}').getAttribute('aria-label')") == (
        "Requests: 12.1 req/s"
    )


def test_rates_reach_over_as_many_scrapes_as_that_prometheus_makes(show: Open) -> None:
    """Every 15 s in this one: a window of four scrapes of the local system would hold one point."""
    page = show()
    page.until("document.querySelectorAll('#release tbody td').length === 6")
    assert text(page, "#release tbody tr td") == "8 req/s"


def test_lines_are_drawn_with_the_library_where_it_could_be_had(show: Open) -> None:
    if library.fetch():
        pytest.skip("uPlot could not be had here")
    page = show()
    page.until(f"document.querySelector('{panel('Latency')} canvas')")
    colours = page.run(
        f"(() => {{ const c = document.querySelector('{panel('Latency')} canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return new Set(new Uint32Array(d.buffer)).size; })()"
    )
    assert colours > 20


def test_without_the_library_the_page_draws_lines_itself(
    show: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "folder", lambda: tmp_path)
    page = show()
    assert page.run("typeof uPlot") == "undefined"
    assert page.run(f"document.querySelectorAll('{panel('Latency')} svg.plain path').length") == 3


def test_the_colour_selector_changes_what_is_asked(show: Open) -> None:
    page = show()
    both = text(page, panel("Requests") + " .value")
    page.press("g")
    page.until(f"document.querySelector('{panel('Requests')} .value').innerText !== {json.dumps(both)}")
    assert text(page, panel("Requests") + " .value") == "4.07 req/s"
    assert page.run("new URLSearchParams(location.search).get('colour')") == "green"


def test_a_firing_alert_leads_to_its_runbook_and_its_text_is_no_markup(show: Open) -> None:
    page = show()
    assert text(page, "#verdict .headline") == "1 alert firing"
    page.run("document.querySelector('#verdict .alerts button').click()")
    page.until("document.querySelector('#drawer').open && document.querySelector('#drawer h3')")
    assert text(page, "#drawer-title") == "SuperAgentProviderDown"
    assert "<img src=x onerror=alert(1)>" in text(page, "#drawer .callout")
    assert page.run("document.querySelectorAll('#drawer img').length") == 0
    page.press("Escape")
    page.until("!document.querySelector('#drawer').open")


def test_weights_move_while_the_page_is_open(show: Open, console: Console) -> None:
    page = show()
    assert text(page, "#release .count") == "release in progress"
    assert page.run("document.querySelector('#release').dataset.blue") == "75"
    console.weights = {"blue": 0, "green": 100}
    page.until("document.querySelector('#release').dataset.blue === '0'")
    page.until("document.querySelector('#release .flow .green').getBoundingClientRect().width > 200")


def test_a_part_that_fails_comes_first_and_says_why(show: Open) -> None:
    page = show()
    assert page.run("document.querySelector('#parts').dataset.unhealthy") == "1"
    assert text(page, "#parts li") == "valkey"
    assert "refused" in page.run("document.querySelector('#parts li').title")


def test_the_last_drill_is_shown(show: Open) -> None:
    page = show()
    assert text(page, "#recovery .headline") == "Drill passed"
    assert "3 min 32 s" in text(page, "#recovery")
    assert "14.3 s" in text(page, "#recovery")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_follows_what_the_person_prefers(show: Open, tab: Page, scheme: str, tmp_path: Path) -> None:
    tab.prefer(scheme)
    page = show()
    assert page.run("document.documentElement.dataset.theme") == scheme
    bright = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    page.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 40_000
    ink = page.run("getComputedStyle(document.documentElement).color.match(/\\d+/g).map(Number)")
    assert (sum(ink[:3]) > 500) is (scheme == "dark"), (bright, ink)


def test_every_control_can_be_reached_by_the_keyboard(show: Open) -> None:
    page = show()
    reached = []
    for _ in range(16):
        page.press("Tab")
        reached.append(
            page.run(
                "(e => e.id || e.dataset.colour || e.getAttribute('href') || e.className)"
                "(document.activeElement)"
            )
        )
    for control in ("environment", "all", "range", "pause", "theme", "help"):
        assert control in reached
    assert sum("?dashboard=" in one for one in reached) == 5


def test_keys_choose_dashboards_and_explain_themselves(show: Open) -> None:
    page = show()
    page.press("3")
    page.until("document.querySelector('.panel[data-title=\"Weights\"]')")
    page.press("?")
    page.until("document.querySelector('#drawer').open")
    assert "light or dark" in text(page, "#drawer-body")


def test_a_phone_shows_everything_without_scrolling_sideways(show: Open) -> None:
    page = show(width=390, height=844, phone=True)
    assert page.run("document.documentElement.scrollWidth") <= 390
    small = page.run(
        "[...document.querySelectorAll('.controls button, .controls select')]"
        ".filter(e => e.offsetWidth && e.offsetHeight < 28).length"
    )
    assert small == 0


def test_the_chosen_dashboard_can_be_seen_among_the_tabs_of_a_phone(show: Open) -> None:
    page = show("range=15m&dashboard=superagent-slo", width=390, height=844, phone=True)
    right = page.run("document.querySelector('#tabs [aria-current]').getBoundingClientRect().right")
    assert right <= 390
    assert page.run("scrollY") == 0


@pytest.mark.parametrize(
    "uid", ["superagent-llm", "superagent-release", "superagent-recovery", "superagent-slo"]
)
def test_every_other_dashboard_is_drawn_without_an_error(show: Open, uid: str) -> None:
    page = show(f"range=15m&dashboard={uid}", height=3000)
    assert page.run("document.querySelectorAll('.panel[data-state=failed]').length") == 0
    assert page.errors() == []


def test_units_are_written_as_people_read_them(show: Open) -> None:
    page = show()
    wanted = {
        "[0.01234, 'percentunit']": "1.23 %",
        "[0.00042, 's']": "420 µs",
        "[75, 's']": "1.25 min",
        "[93600, 'dtdurations']": "1 d 2 h",
        "[1536, 'bytes']": "1.5 KiB",
        "[12345, 'short']": "12.3k",
        "[0.0004, 'currencyUSD']": "$0.0004",
        "[null, 'short']": "–",
    }
    for arguments, expected in wanted.items():
        assert page.run(f"import('/static/units.js').then(m => m.text(...{arguments}))") == expected
