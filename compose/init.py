"""Make the secrets of docker-compose.yml, each in a file of its own; those that are there stay.

    python3 compose/init.py

Standard library only. The folder is its owner's alone; the files in it are readable, because a container's
user is another one than yours and Compose mounts them as they are.
"""

import argparse
import hmac
import json
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"


def contents(postgres: str, valkey: str, grafana: str) -> dict[str, str]:
    """File → text, from three passwords. `migrate` comes as the owner and makes the service's user.

    Its password follows from the owner's, who may do more anyway; there is no way back.
    """
    service = hmac.digest(postgres.encode(), b"superagent_service", "sha256").hex()
    database = "postgres:5432/superagent?sslmode=disable"
    return {
        "postgres_password": postgres,
        "database_url": f"postgresql://superagent_service:{service}@{database}",
        "database_owner_url": f"postgresql://superagent:{postgres}@{database}",
        "valkey_password": valkey,
        "valkey_auth": f"requirepass {valkey}\n",
        "redis_url": f"redis://:{valkey}@valkey:6379/0",
        "redis_exporter.json": json.dumps({"redis://valkey:6379": valkey}),
        "grafana_password": grafana,
    }


def init(folder: Path) -> list[str]:
    """Write what is missing; names of the files written. A password that is there is kept everywhere."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "alertmanager").mkdir(exist_ok=True)

    def known(name: str) -> str:
        path = folder / name
        return path.read_text().strip() if path.exists() else secrets.token_urlsafe(32)

    made = []
    wanted = contents(known("postgres_password"), known("valkey_password"), known("grafana_password"))
    for name, text in wanted.items():
        path = folder / name
        if not path.exists():
            new = path.with_suffix(".new")
            new.write_text(text)
            new.chmod(0o644)
            new.rename(path)
            made.append(name)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: compose/secrets")
    try:
        made = init(parser.parse_args().folder)
    except OSError as failed:
        print(f"Error: {failed.filename}: {failed.strerror}.", file=sys.stderr)  # noqa: T201
        return 2
    print(f"Made {', '.join(made)}." if made else "Every secret is there; nothing was changed.")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
