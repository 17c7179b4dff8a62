"""How the local AWS API speaks HTTP."""

from __future__ import annotations

from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler

from infra.local.log_line import log


class QuietHandler(MotoRequestHandler):
    """moto's handler with keep-alive, logging failures only: a line per call would be most of the log."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if str(code).startswith("5"):
            log("server error", method=self.command, code=str(code))

    def log(self, type: str, message: str, *args: Any) -> None:
        log(message % args, level=type)
