"""The one way a command tells a person that it cannot go on."""

from __future__ import annotations

import click


class UserError(click.ClickException):
    """What happened, why, and what to do next; exit code 2.

    Raise it for everything that a person can mend: bad input, a taken port, a missing part.
    `what` names the thing and its value, `fix` is an action. Secrets belong in neither.
    """

    exit_code = 2

    def __init__(self, what: str, fix: str) -> None:
        self.what = what
        self.fix = fix
        super().__init__(f"{what} {fix}")


class OperationFailed(click.ClickException):
    """Something was tried and did not work (a release aborted, a restore differed); exit code 1."""

    exit_code = 1
