"""Puts one environment's release tool together: clients in, a ready `Tool` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra import console
from infra.errors import UserError
from infra.release import fleets, scenario, smoke_key
from infra.release.analysis import ColourAnalysis
from infra.release.announce import Announcements, GrafanaAnnotations
from infra.release.clock import Clock, SystemClock
from infra.release.controller import Controller
from infra.release.effects import Effects
from infra.release.fleet import Fleet
from infra.release.journal import Journal
from infra.release.lease import Lease
from infra.release.migrations import MigrationRules
from infra.release.router import Router
from infra.release.sample import Source
from infra.release.secret_file import one_line
from infra.release.settings import Profile, of_stack
from infra.release.smoke import SmokeTests
from infra.release.state import Run
from infra.release.telemetry import Ledger
from infra.release.wire import Address
from infra.stack import environment
from infra.stack.environment import Environment
from infra.stack.outputs import StackOutputs


@dataclass(slots=True)
class Tool:
    """Everything a verb needs of one environment."""

    outputs: StackOutputs
    profile: Profile
    clock: Clock
    journal: Journal
    lease: Lease
    router: Router
    fleet: Fleet
    source: Source
    smoke: SmokeTests
    announcer: Announcements

    def effects(self) -> Effects:
        """The hands, fresh: they keep nothing between runs."""
        return Effects(
            router=self.router,
            fleet=self.fleet,
            smoke=self.smoke,
            analysis=ColourAnalysis(self.source, self.profile.limits, self.profile.min_requests, self.clock),
            migrations=MigrationRules(self.journal, self.lease),
            profile=self.profile,
            clock=self.clock,
            fence=self.lease.keep,
        )

    def controller(self, effects: Effects, watch: Callable[[Run], None]) -> Controller:
        return Controller(
            journal=self.journal,
            lease=self.lease,
            performer=effects,
            announcer=self.announcer,
            clock=self.clock,
            poll_seconds=self.profile.poll,
            watch=watch,
        )


def open_tool(stack: str, smoke_file: Path | None = None, adjust: dict[str, Any] | None = None) -> Tool:
    """The tool for a stack; `adjust` replaces fields of its profile. Raises `UserError`."""
    found = environment.load(stack)
    outputs = found.outputs
    chosen = replace(of_stack(outputs), **(adjust or {}))
    clock = SystemClock()
    dynamodb = found.client("dynamodb")
    router = Router(found.client("elbv2"), outputs)
    fleet, source = fleets.build(found)
    return Tool(
        outputs=outputs,
        profile=chosen,
        clock=clock,
        journal=Journal(dynamodb, outputs.release_table, outputs.environment),
        lease=Lease(dynamodb, outputs.release_table, outputs.environment, clock, chosen.lease),
        router=router,
        fleet=fleet,
        source=source,
        smoke=SmokeTests(
            address=lambda: _test_address(found, router),
            scenarios=scenario.load(smoke_file or scenario.DEFAULT),
            api_key=lambda: _smoke_key(found),
            model=fleets.smoke_settings().model,
        ),
        announcer=Announcements(
            sns=found.client("sns"),
            topic_arn=outputs.alert_topic_arn,
            ledger=Ledger(dynamodb, outputs.release_table, outputs.environment),
            metrics_folder=environment.metrics_folder(),
            clock=clock,
            warn=console.warn,
            grafana=GrafanaAnnotations.from_environment(),
        ),
    )


def _test_address(found: Environment, router: Router) -> Address:
    protocol, port = router.test_address()
    if found.endpoint is not None:
        # The local load balancer opens the listeners' ports on loopback (docs/architecture.md).
        return Address("127.0.0.1", port)
    settings = fleets.smoke_settings()
    return Address(found.outputs.alb_dns_name, port, protocol == "HTTPS", settings.server_name)


def _smoke_key(found: Environment) -> str:
    if found.endpoint is not None:
        return smoke_key.local()
    path = fleets.smoke_settings().key_file
    if path is None:
        raise UserError(
            "Smoke tests need an API key of this environment.",
            "Put one with permission `chat` in a file and name it in SUPERAGENT_SMOKE_KEY_FILE.",
        )
    try:
        return one_line(path)
    except OSError as failed:
        raise UserError(
            f"The smoke key {path} cannot be read: {failed.strerror}.", "Mend the path."
        ) from None
    except ValueError as wrong:
        raise UserError(
            f"The smoke key cannot be used: {wrong}.", "Leave nothing but the key in it."
        ) from None
