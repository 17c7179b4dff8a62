"""`python -m service`: serve, migrate, create-key. Exit codes: 0 done, 1 tried in vain, 2 bad input."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from service.auth.permissions import PERMISSIONS
from service.settings import Settings, SettingsError, load
from service.storage.database import StoreUnavailable

HELP = """Without a command it serves the API and /metrics until SIGTERM.

Settings come from the environment (SUPERAGENT_…; secrets also SUPERAGENT_…_FILE); service/settings.py
documents each. The least that is needed:

  SUPERAGENT_DATABASE_URL=postgresql://user:password@host/name  python -m service migrate
  SUPERAGENT_DATABASE_URL=…  python -m service create-key --name me --permission admin
  SUPERAGENT_DATABASE_URL=…  python -m service

`migrate` may have a login of its own, SUPERAGENT_DATABASE_OWNER_URL: then it also makes the user of
SUPERAGENT_DATABASE_URL and gives it rights on rows alone.
"""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = load()
        if options.command == "migrate":
            return _migrate(settings, options.json)
        if options.command == "create-key":
            return asyncio.run(_create_key(settings, options))
        return _serve(settings)
    except SettingsError as error:
        return _complain(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m service", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    migrate = commands.add_parser("migrate", help="Bring the database schema up to date; safe to repeat.")
    migrate.add_argument("--json", action="store_true", help="Print what was applied as JSON.")
    create = commands.add_parser("create-key", help="Make an API key; it is shown this once.")
    create.add_argument("--name", required=True, help="Who or what it is for.")
    create.add_argument(
        "--permission",
        action="append",
        choices=PERMISSIONS,
        required=True,
        help="May be given several times.",
    )
    create.add_argument(
        "--if-none", action="store_true", help="Do nothing when an active admin key exists; prints {}."
    )
    return parser


def _serve(settings: Settings) -> int:
    from service.app import create_app
    from service.server import CannotListen, serve
    from service.storage.journal import JournalInUse

    try:
        service = create_app(settings)
    except ValueError as error:  # a providers file or an address that cannot be used
        return _complain(str(error))
    try:
        return serve(service)
    except (CannotListen, JournalInUse) as error:
        return _complain(str(error))


def _migrate(settings: Settings, as_json: bool) -> int:
    from service.storage.migrate import MigrationFailed, migrate
    from service.storage.rights import GrantFailed, grant

    service = settings.database_url.get_secret_value()
    owner = settings.database_owner_url.get_secret_value() if settings.database_owner_url else service
    try:
        applied = migrate(owner)
        asyncio.run(grant(owner, service, bool(settings.database_iam_region)))
    except (MigrationFailed, GrantFailed) as error:
        return _complain(f"Migration failed: {error}", 1)
    if as_json:
        print(json.dumps({"applied": applied}))
    else:
        print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")
    return 0


async def _create_key(settings: Settings, options: argparse.Namespace) -> int:
    from service.auth.keys import KeyStore
    from service.storage.database import Database
    from service.storage.login import logins

    database = Database(
        settings.database_url.get_secret_value(),
        size=1,
        logins=logins(settings.follow("database_url"), settings.database_iam_region),
    )
    await database.start()
    try:
        keys = KeyStore(database)
        if options.if_none and await keys.has_active_admin():
            print("{}")
            return 0
        key, row = await keys.create(options.name, options.permission)
    except StoreUnavailable:
        return _complain(f"Postgres cannot be used: {database.reason}.", 1)
    finally:
        await database.close()
    print(json.dumps({"id": row["id"], "key": key, "permissions": row["permissions"]}))
    return 0


def _complain(message: str, code: int = 2) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
