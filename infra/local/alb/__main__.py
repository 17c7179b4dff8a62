"""The load balancer's controller: what the ELBv2 API says, Envoy does; what Envoy sees, the API says.

`python -m infra.local.alb --endpoint http://127.0.0.1:5000 --state DIR --admin-port 9901` runs beside
`envoy -c DIR/bootstrap.json`. Either may die at any time: Envoy keeps (and, restarted, reads) the last files,
the controller computes them anew. While the API is away, traffic goes on as before.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

import click

from infra.errors import UserError
from infra.local.alb import REPORTED
from infra.local.alb.config import Resources, Settings, resources
from infra.local.alb.envoy import Admin, remove_leftovers, reports, write_bootstrap, write_resources
from infra.local.alb.model import Edge, Forward, returned, without
from infra.local.alb.passed_over import passed_over
from infra.local.alb.probe import Probe
from infra.local.log_line import log
from infra.local.loopback import call

RETRY_SECONDS: Final = 0.25
REREAD_SECONDS: Final = 5.0
"""Slowest reaction, should a change notice get lost."""
REPORT_SECONDS: Final = 0.25
REPEAT_SECONDS: Final = 2.0
"""An unchanged report is repeated, because it expires (`infra.local.aws.health.REPORT_LIFETIME`)."""
ENVOY_SECONDS: Final = 3.0


class Controller:
    """Applies the API's state to Envoy's files, and reports target health back."""

    def __init__(self, elbv2: Any, api_port: int, folder: Path, admin: Admin, check_seconds: float) -> None:
        self._elbv2 = elbv2
        self._api_port = api_port
        self._folder = folder
        self._admin = admin
        self._settings = Settings(str(folder.absolute()), check_seconds)
        self._edge: Edge | None = None
        self._cleanup_due = False
        self._refused = 0
        self._said: set[str] = set()
        self._changed = threading.Event()
        self._reported: dict[str, Any] = {}
        self._reported_at = 0.0
        self._probe = Probe()

    def follow(self) -> None:
        """For ever: wait for a change (or `REREAD_SECONDS`), then apply it."""
        away = False
        while True:
            try:
                self.apply()
            except Exception as failed:
                if not away:  # once, not four times a second for as long as it lasts
                    log("cannot read the load balancers; traffic goes on as it was", error=repr(failed)[:300])
                away = True
                time.sleep(RETRY_SECONDS)
                continue
            if away:
                log("reading the load balancers again")
            away = False
            self._changed.wait(REREAD_SECONDS if not self._cleanup_due else RETRY_SECONDS)
            self._changed.clear()

    def apply(self) -> None:
        """Read the API once and write what differs."""
        from infra.local.alb.state import read_edge

        edge = read_edge(self._elbv2)
        without_traffic = set(passed_over(edge))
        for sentence in sorted(without_traffic - self._said):
            log(sentence)
        self._said = without_traffic
        if back := returned(self._edge, edge):
            # Envoy would remember the health of their earlier life; it forgets a target that is gone.
            self._write(without(edge, back))
            self._await(lambda: self._forgotten(edge, back))
        found = self._write(edge)
        if edge != self._edge:
            log("applied", listeners=[one.port for one in edge.listeners], weights=_weights(edge))
        elif self._cleanup_due:
            remove_leftovers(self._folder, found)
            self._complain_of_refusals()
        self._cleanup_due = edge != self._edge
        self._edge = edge

    def _complain_of_refusals(self) -> None:
        try:
            refused = self._admin.rejected()
        except (OSError, ValueError):
            return  # down; the next start of Envoy reads the files and ends when they are wrong
        if refused > self._refused:
            log("Envoy refused a configuration and goes on with the last one; its own log says why")
        self._refused = refused

    def _write(self, edge: Edge) -> Resources:
        previous = self._edge if edge != self._edge else None
        found = resources(edge, previous, self._settings)
        wanted = {group.name for group in edge.groups.values()}
        write_resources(
            self._folder, found, lambda: self._await(lambda: wanted <= self._admin.hosts().keys())
        )
        return found

    def _forgotten(self, edge: Edge, ids: dict[str, set[str]]) -> bool:
        hosts = self._admin.hosts()
        return not any(
            address in ids[arn] for arn in ids for address, _ in hosts.get(edge.groups[arn].name, {})
        )

    def _await(self, condition: Callable[[], bool]) -> None:
        """Until Envoy has taken something over; not longer than it could take, and not when it is down."""
        deadline = time.monotonic() + ENVOY_SECONDS
        with contextlib.suppress(OSError, ValueError):
            while not condition() and time.monotonic() < deadline:
                time.sleep(0.02)

    def watch(self) -> None:
        """For ever: ask the API for the next change; it answers when there is one."""
        token = ""
        while True:
            try:
                path = f"/superagent/changes?since={token}"
                newer = call(self._api_port, "GET", path, seconds=40)["token"]
            except (OSError, ValueError, KeyError):
                time.sleep(RETRY_SECONDS)
                continue
            if newer != token:
                token = newer
                self._changed.set()

    def report(self) -> None:
        """For ever: tell the API what Envoy sees of the targets, at once when it differs."""
        while True:
            time.sleep(REPORT_SECONDS)
            try:
                self._report_once()
            except (OSError, ValueError):
                self._reported = {}  # one of the two is away; say everything again when it is back

    def _report_once(self) -> None:
        if self._edge is None:
            return
        seen = reports(self._edge.groups.values(), self._admin.hosts(), self._probe.status)
        now = time.monotonic()
        if seen == self._reported and now < self._reported_at + REPEAT_SECONDS:
            return
        call(self._api_port, "POST", "/superagent/target-health", seen)
        self._reported, self._reported_at = seen, now
        (self._folder / REPORTED).touch()
        drained = any(one["state"] == "unused" for group in seen.values() for one in group.values())
        if drained:  # the API lists that target no more
            self._changed.set()


def _weights(edge: Edge) -> dict[str, list[Any]]:
    names = {arn: group.name for arn, group in edge.groups.items()}
    return {
        str(listener.port): [
            {names.get(arn, arn): weight for arn, weight in rule.action.groups}
            for rule in listener.rules
            if isinstance(rule.action, Forward)
        ]
        for listener in edge.listeners
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--endpoint", required=True, help="Base URL of the local AWS API (infra.local.aws).")
@click.option("--region", default="eu-central-1", show_default=True, help="Region of the load balancers.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of Envoy's configuration; `envoy -c FOLDER/bootstrap.json` reads it.",
)
@click.option("--admin-port", type=click.IntRange(1, 65535), required=True, help="Envoy's admin port.")
@click.option(
    "--check-seconds",
    type=click.FloatRange(0.1, 300),
    default=1.0,
    show_default=True,
    help="Longest time between two health checks of a target.",
)
def main(endpoint: str, region: str, state: Path, admin_port: int, check_seconds: float) -> None:
    """Make Envoy the data plane of the load balancers in the local AWS API.

    \b
    python -m infra.local.alb --endpoint http://127.0.0.1:5000 --state /tmp/alb --admin-port 9901
    envoy -c /tmp/alb/bootstrap.json --use-dynamic-base-id
    """
    api_port = urlsplit(endpoint).port
    if urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost") or not api_port:
        raise UserError(f"--endpoint {endpoint!r} is not on this machine.", "Use http://127.0.0.1:<port>.")
    write_bootstrap(state, admin_port, check_seconds)
    client = elbv2_client(endpoint, region)
    controller = Controller(client, api_port, state, Admin(admin_port), check_seconds)
    for work in (controller.watch, controller.report, controller.follow):
        threading.Thread(target=work, name=work.__name__, daemon=True).start()
    signal.signal(signal.SIGTERM, _end)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        sys.exit(130)


def elbv2_client(endpoint: str, region: str) -> Any:
    """A client of the local AWS API; any credentials do."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local")  # noqa: S106
    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    config = Config(retries=retries, connect_timeout=2, read_timeout=10, proxies={})
    make: Any = session.client
    return make("elbv2", region_name=region, endpoint_url=endpoint, config=config)


def _end(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
