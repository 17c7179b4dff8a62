"""Headless Chromium for tests: its DevTools protocol over a pipe, with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests import chromium
from tests.chromium import Browser

SECONDS: Final = 30.0


def here() -> Browser:
    """A Chromium; skips the test with the reason when none can be had."""
    found = chromium.find()
    if isinstance(found, str):
        pytest.skip(f"no Chromium ({found}): install the distribution's package `chromium` to run this")
    return found


class Page:
    """One tab."""

    def __init__(self, pipe: _Pipe, session: str) -> None:
        self._pipe = pipe
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, to its answer."""
        return self._pipe.call(method, parameters, self._session)

    def open(self, url: str, width: int = 1440, height: int = 900, *, phone: bool = False) -> None:
        """Show `url` in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"]["exception"].get("description", answer))
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = SECONDS) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.run(f"!!({script})"):
            if time.monotonic() > deadline:
                raise AssertionError(f"not true within {seconds:.0f} s: {script}")
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """One key, as from a keyboard."""
        text = {"text": key} if len(key) == 1 else {}
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39}
        virtual = codes.get(key, ord(key.upper()[0]))
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            if key == "Enter" and kind == "keyDown":
                more = {"text": "\r"}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=virtual, **more)

    def prefer(self, scheme: str) -> None:
        """Pretend that the person prefers `dark` or `light`."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is visible, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def errors(self) -> list[str]:
        """What the console of the page complained about so far."""
        return [text for session, text in self._pipe.complaints if session == self._session]


class _Pipe:
    """Messages end with a zero byte; answers carry the number of their question."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._number = 0
        self._rest = b""
        self.complaints: list[tuple[str, str]] = []

    def call(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._event(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise AssertionError("the browser went away")
            self._rest += chunk
        message, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def _event(self, event: dict[str, Any]) -> None:
        session = event.get("sessionId", "")
        if event.get("method") == "Runtime.exceptionThrown":
            details = event["params"]["exceptionDetails"]
            self.complaints.append((session, details.get("exception", {}).get("description", str(details))))
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.complaints.append((session, event["params"]["entry"]["text"]))


@contextmanager
def browser() -> Iterator[Page]:
    """A fresh headless Chromium with one tab; it ends with the block."""
    program = here()
    profile = tempfile.mkdtemp(prefix="superagent-chromium-")
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()

    def place() -> None:  # Chromium reads commands from descriptor 3 and answers on 4
        os.dup2(to_read, 30)
        os.dup2(from_write, 31)
        os.dup2(30, 3)
        os.dup2(31, 4)

    command = [
        program.path,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    process = subprocess.Popen(
        command,
        preexec_fn=place,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **program.environment},
    )
    os.close(to_read)
    os.close(from_write)
    try:
        pipe = _Pipe(to_write, from_read)
        target = pipe.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = pipe.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(pipe, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        process.terminate()
        process.wait(10)
        os.close(to_write)
        os.close(from_read)
        shutil.rmtree(profile, ignore_errors=True)
