"""`python -m infra.local.console`: serve the page until SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading

import click

from infra.console import err
from infra.errors import UserError
from infra.local.console import library
from infra.local.console.server import serve, views
from infra.local.console.sources import fixed, local


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", type=click.IntRange(1, 65535), default=8088, show_default=True)
@click.option("--prometheus", metavar="URL", help="Instead of the local system's.")
@click.option("--alertmanager", metavar="URL", help="Instead of the local system's.")
def main(port: int, prometheus: str | None, alertmanager: str | None) -> None:
    """Serve the console on 127.0.0.1: dashboards, alerts, parts, the release in progress.

    \b
    python -m infra.local.console --port 8088
    """
    if (prometheus is None) != (alertmanager is None):
        raise UserError("One source is given, the other is not.", "Give --prometheus and --alertmanager.")
    sources = fixed(prometheus, alertmanager) if prometheus and alertmanager else local()
    try:
        server = serve(port, views(sources))
    except OSError as taken:
        raise UserError(f"Port {port} cannot be used ({taken.strerror}).", "Choose another --port.") from None
    threading.Thread(target=_library, daemon=True).start()
    # shutdown() waits for serve_forever, which this signal handler interrupts: hence the thread.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    err.print(f"Console: http://127.0.0.1:{port}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        server.server_close()


def _library() -> None:
    if why := library.fetch():
        err.print(f"uPlot is not here ({why}): the page draws plainer lines itself.")


if __name__ == "__main__":
    main()
