"""`superagent`: the verbs. Each verb lives in its package and is imported when it is called."""

from __future__ import annotations

import importlib
from typing import Final

import click
from click.shell_completion import CompletionItem

# verb -> (module:attribute, one line for --help)
VERBS: Final[dict[str, tuple[str, str]]] = {
    "up": ("infra.local.commands:up", "Start the whole system on this machine."),
    "down": ("infra.local.commands:down", "Stop it; the data stays unless --purge."),
    "status": ("infra.local.commands:status", "Show every part: pid, port, version, health."),
    "logs": ("infra.local.commands:logs", "Show or follow the parts' logs."),
    "package": ("infra.release.package:package", "Build a reproducible wheel, its SBOM and the image."),
    "release": (
        "infra.release.commands:release",
        "Blue-green releases: start, status, abort, resume, history …",
    ),
    "preview": ("infra.preview.commands:preview", "What a change would do to AWS, without credentials."),
    "drift": ("infra.preview.drift_command:drift", "Which live differences are drift."),
    "restore": ("infra.recovery.restore_command:restore", "Bring a backup back, prove it, cut over."),
    "drill": ("infra.recovery.drill_command:command", "Rehearse the restore of the newest backup."),
    "schedule": (
        "infra.recovery.schedule_command:group",
        "What runs by itself: backups, verification, drills.",
    ),
    "exporter": ("infra.exporter.command:command", "Serve the metrics of backups, drills and releases."),
    "advise": ("infra.advise.commands:advise", "Name bottlenecks, say what to change, change what is safe."),
    "backup": ("infra.recovery.commands:backup", "Make, list, verify and prune backups."),
    "doctor": ("infra.local.doctor_command:doctor", "Say what this machine has and lacks."),
    "check": ("infra.check.commands:check", "Is an environment fit for production? Evidence and fix."),
    "completion": ("infra.completion:completion", "Let bash, zsh or fish complete verbs and options."),
}


class LazyGroup(click.Group):
    """A group that lists its verbs without importing them; `--help` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs from the table: click's own way would import every one of them at each press of Tab."""
        verbs = [(verb, line) for verb, (_, line) in VERBS.items() if verb.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(verb, help=line) for verb, line in verbs), *options]

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; an interrupt ends with 130 (docs/architecture.md, "Exit codes")."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted. The same command can be given again.", err=True)
            ctx.exit(130)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version, of a checkout that was never installed too."""
    if wanted and not ctx.resilient_parsing:
        from infra.home import version

        click.echo(f"superagent {version()}")
        ctx.exit()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version,
    help="Show the version and exit.",
)  # fmt: skip
def main() -> None:
    """Run SuperAgent here or in AWS: provision, release, back up, restore, observe.

    \b
    superagent up                          the whole system on this machine
    superagent release start --version v2  a blue-green release, without losing a request
    superagent preview --stack prod        what a change would do, without credentials
    """


if __name__ == "__main__":
    main()
