"""`superagent exporter`: serve the metrics of backups, drills and releases."""

from __future__ import annotations

import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import click
from prometheus_client import CONTENT_TYPE_LATEST

from infra import console
from infra.errors import UserError
from infra.exporter.page import Page, Unknown
from infra.recovery import context
from infra.recovery.commands import stack_option


def server(page: Page, host: str, port: int) -> ThreadingHTTPServer:
    """A server of `/metrics`: 200 with the page, or 503 with the reason why there is none."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path != "/metrics":
                return self._answer(404, b"The metrics are at /metrics.\n")
            try:
                self._answer(200, page.render(), CONTENT_TYPE_LATEST)
            except Unknown as unknown:
                console.warn(str(unknown))
                self._answer(503, f"{unknown}\n".encode())

        def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    try:
        return ThreadingHTTPServer((host, port), Handler)
    except OSError as failed:
        what = f"{host}:{port} cannot be listened on: {failed.strerror}."
        raise UserError(what, "Choose another address with `--listen`.") from None


@click.command("exporter", context_settings={"help_option_names": ["-h", "--help"]})
@stack_option
@click.option(
    "--listen", default="127.0.0.1:9110", show_default=True, metavar="HOST:PORT", help="Where it answers."
)
def command(stack: str, listen: str) -> None:
    """Serve backup_*, drill_* and release_* metrics at /metrics until interrupted.

    They are read from the bucket and the release table, so they are true whoever made the backup or the
    release, and also when nobody did. In AWS the stack runs it beside the scheduled jobs. It only reads.

    \b
    superagent exporter
    superagent exporter --stack prod --listen 0.0.0.0:9464
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) < 65_536:
        raise UserError(f"{listen!r} is no address.", "Write HOST:PORT, for example 127.0.0.1:9110.")
    made = server(Page(context.load(stack)), host, int(port))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=made.shutdown).start())
    console.err.print(f"Metrics of {stack} at http://{host}:{made.server_address[1]}/metrics")
    try:
        made.serve_forever(poll_interval=0.2)
    finally:
        made.server_close()
