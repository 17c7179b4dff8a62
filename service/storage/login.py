"""Who a new connection to Postgres is, decided when it is made: by the URL as it is then, or by AWS.

A password may change while the service runs: whoever changes it writes the URL's file and the server in some
order, and for a moment the two disagree. A connection therefore offers the newest login, then the one that
worked last, and asks again for a moment before it gives up. Nothing is restarted, and nothing open is closed:
Postgres keeps sessions whose password changed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

import asyncpg

PATIENCE_SECONDS: Final = 1.0
"""How long a refused login is tried again; less than the deadline of a call."""
LEAST_TURNS: Final = 3
PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Login:
    """One user and its password (or token), never shown."""

    user: str | None
    password: str | None = field(repr=False)


class Logins(Protocol):
    """Where logins come from."""

    async def offers(self) -> Sequence[Login]:
        """What to try now, best first. Raises `OSError` when there is nothing to try."""
        ...

    def worked(self, login: Login) -> None:
        """The server took this one."""
        ...


class UrlLogins:
    """User and password of a URL that may be another one at every call (a `_FILE` that was rewritten).

    Server and database stay those of the start: a cutover is a restart, or one process would write to two.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._place = _place(url())
        self._last: Login | None = None

    async def offers(self) -> Sequence[Login]:
        url = self._url()
        known = [self._last] if self._last is not None else []
        if _place(url) != self._place and known:
            return known
        parts = urlsplit(url)
        now = Login(_text(parts.username), _text(parts.password))
        return [now, *(one for one in known if one != now)]

    def worked(self, login: Login) -> None:
        self._last = login


def logins(url: Callable[[], str], iam_region: str) -> Logins:
    """Tokens of AWS where a region says so, else what `url` gives at each call."""
    if iam_region:
        from service.storage.rds_login import RdsLogins  # botocore costs memory and start

        return RdsLogins(url(), iam_region)
    return UrlLogins(url)


def _place(url: str) -> tuple[Any, ...]:
    """Server and database; nowhere for a URL that somebody is still writing."""
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port, parts.path
    except ValueError:
        return ()


def _text(quoted: str | None) -> str | None:
    return unquote(quoted) if quoted else None


async def connect(logins: Logins, *arguments: Any, **options: Any) -> Any:
    """`asyncpg.connect` with the login of this moment.

    Raises what asyncpg raises; a refusal only after every offer was refused for `PATIENCE_SECONDS`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    for turn in itertools.count(1):
        refused: asyncpg.InvalidAuthorizationSpecificationError | None = None
        for login in await logins.offers():
            try:
                made = await asyncpg.connect(*arguments, user=login.user, password=login.password, **options)
            except asyncpg.InvalidAuthorizationSpecificationError as error:
                refused = error
            else:
                logins.worked(login)
                return made
        # One turn may straddle the change and be refused twice, however slow the machine was.
        if refused is not None and turn >= LEAST_TURNS and loop.time() > deadline:
            raise refused
        await asyncio.sleep(PAUSE_SECONDS)
