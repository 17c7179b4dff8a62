"""Logins that AWS signs: RDS takes a signature of the caller's role instead of a password.

A token is good for 15 minutes and for the moment of connecting only; sessions outlive it. Nothing is stored,
so nothing has to be rotated (RDS user guide, "IAM database authentication"). Imported only where it is turned
on: botocore takes 15 MB and a tenth of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import get_session

from service.storage.login import Login

LIFETIME_SECONDS: Final = 900
PORT: Final = 5432


class NoCredentials(OSError):
    """The usual chain (environment, container, instance) gave no credentials to sign with."""


class RdsLogins:
    """Tokens for the user, host and port of a URL, by the role that this process runs as."""

    def __init__(self, url: str, region: str) -> None:
        parts = urlsplit(url)
        self._user = unquote(parts.username or "")
        self._host, self._port = parts.hostname or "", parts.port or PORT
        self._region = region
        self._credentials: Any = None

    async def offers(self) -> Sequence[Login]:
        """One token, fresh. Raises `NoCredentials`."""
        # Expired credentials are renewed over HTTP, which blocks.
        return [Login(self._user, await asyncio.to_thread(self.token))]

    def worked(self, login: Login) -> None:
        """Nothing to remember: the next connection gets a token of its own."""

    def token(self) -> str:
        """A URL without scheme, signed for `rds-db:connect`. May block on a metadata service."""
        try:
            if self._credentials is None:
                self._credentials = get_session().get_credentials()
            if self._credentials is None:
                raise NoCredentials("no AWS credentials")
            frozen = self._credentials.get_frozen_credentials()
        except BotoCoreError as failed:
            raise NoCredentials(type(failed).__name__) from None
        query = urlencode({"Action": "connect", "DBUser": self._user})
        request = AWSRequest(method="GET", url=f"https://{self._host}:{self._port}/?{query}")
        SigV4QueryAuth(frozen, "rds-db", self._region, expires=LIFETIME_SECONDS).add_auth(request)
        return str(request.url).removeprefix("https://")
