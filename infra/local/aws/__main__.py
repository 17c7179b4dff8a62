"""The AWS API of the local system: moto, with a state that survives its process.

`python -m infra.local.aws --port 5000 --data .superagent/data/aws` serves every AWS service that moto knows.
A write is on disk before it is answered. Besides AWS it answers:

* `GET /moto-api/`: ready. `POST /moto-api/reset`: forget everything, on disk too.
* `GET /superagent/changes?since=TOKEN`: the next token, when something about load balancers changed.
* `POST /superagent/target-health`: the load balancer's report (`infra/local/aws/health.py`).
* `POST /superagent/faults`: failures for tests, with `--allow-faults` (`infra/local/aws/faults.py`).
"""

from __future__ import annotations

import gc
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click

from infra.errors import UserError
from infra.local.aws import emulator
from infra.local.log_line import log


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Port to listen on.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the state; created when missing, used by one process at a time.",
)
@click.option("--allow-faults", is_flag=True, help="Accept POST /superagent/faults. For tests only.")
def main(host: str, port: int, data: Path, allow_faults: bool) -> None:
    """Serve the AWS API of the local system (moto) with a durable state.

    \b
    python -m infra.local.aws --port 5000 --data /tmp/aws
    AWS_ENDPOINT_URL=http://127.0.0.1:5000 aws s3 ls
    """
    started = time.monotonic()
    emulator.configure(port)
    from werkzeug.serving import make_server

    from infra.local.aws import blobs, health, listeners
    from infra.local.aws.app import AwsApp
    from infra.local.aws.faults import Faults
    from infra.local.aws.server import QuietHandler
    from infra.local.aws.state import Store

    blobs.install()
    listeners.install()
    board = health.HealthBoard()
    health.install(board)
    store = Store(data.absolute())
    services = store.load()
    app = AwsApp(store, board, Faults() if allow_faults else None)
    gc.freeze()  # what was imported and loaded stays; collections need not walk it again
    try:
        server = make_server(host, port, app, threaded=True, request_handler=QuietHandler)
    except (OSError, SystemExit) as failed:  # werkzeug turns a taken port into SystemExit
        raise UserError(f"Cannot listen on {host}:{port} ({failed}).", "Choose another --port.") from None
    signal.signal(signal.SIGTERM, _end)
    log("ready", host=host, port=port, services=services, seconds=round(time.monotonic() - started, 2))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(130)


def _end(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
