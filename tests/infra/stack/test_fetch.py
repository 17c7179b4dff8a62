"""The script that fetches secrets, run with an `aws` of our own: whole files, or none, and what they say."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.stack.fetch import Sources, script
from service import settings as service_settings
from service.auth.setup import signer

# A password as nasty as RDS may make one, and a token.
PASSWORD = r"p:w%d#?&[x]{y}~!$'()*+,;=\\<>|^`"
TOKEN = "t0ken&more"
CLOUD = """#!/bin/bash
answer() {
  local ask='import jmespath, json, sys; print(jmespath.search(sys.argv[1], json.loads(sys.argv[2])))'
  while [ "$1" != --query ]; do shift; done
  "$PYTHON" -c "$ask" "$2" "${!#}"
}
case "$*" in
  *"ssm get-parameter"*) echo superagent-prod-database/superagent_r1 ;;
  *superagent-prod-database*SecretArn*) echo arn:master ;;
  *superagent-prod-database*ReadReplica*)
    answer "$@" '{"DBInstances": [{"ReadReplicaDBInstanceIdentifiers": ['"${REPLICAS:-}"']}]}' ;;
  *superagent-prod-reader*Address*) echo reader.example ;;
  *superagent-prod-database*Address*) echo db.example ;;
  *superagent-prod-database*Port*) echo 5432 ;;
  *arn:master*) cat "$HERE/master" ;;
  *cache*) [ "${BROKEN:-}" != cache ] || exit 254; cat "$HERE/token" ;;
  *list-secret-version-ids*jwt*) [ "${BROKEN:-}" != versions ] || exit 254; answer "$@" "${VERSIONS:-$ONE}" ;;
  *jwt*) [ "${BROKEN:-}" != jwt ] || exit 254; cat "$HERE/jwt" ;;
  *providers*) [ "${BROKEN:-}" != providers ] || exit 254; echo '{"openai": {}}' ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""
SOURCES = Sources(
    "eu-central-1", "/pointer", "superagent_prod_service", "cache.example", "cache", "providers"
)


NAMED = dataclasses.replace(SOURCES, given={"jwt_keys": "superagent/prod/jwt_keys"})


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Path]:
    """Runs the real script with an `aws` and a `curl` of our own in front of PATH; gives its folder."""
    master = '{"username":"superagent","password":"' + PASSWORD.replace("\\", "\\\\") + '"}'
    (tmp_path / "master").write_text(master + "\n")
    (tmp_path / "token").write_text(TOKEN + "\n")
    commands = {"aws": CLOUD, "curl": '#!/bin/bash\necho "$@" >> "$HERE/asked"\necho CERTIFICATES\n'}
    (tmp_path / "bin").mkdir()
    for name, text in commands.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    folder = tmp_path / "secrets"

    def run(sources: Sources = SOURCES, **environment: str) -> Path:
        one = {"ONE": '{"Versions": [{"VersionId": "1"}]}', "PYTHON": sys.executable}
        here = {
            **one,
            "HERE": str(tmp_path),
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            **environment,
        }
        subprocess.run(["bash", "-c", script(sources, str(folder))], check=True, env={**os.environ, **here})
        return folder

    return run


def encoded(text: str) -> str:
    return "".join(f"%{ord(one):02X}" for one in text)


def tls(folder: Path) -> str:
    return f"sslmode=verify-full&sslrootcert={folder}/rds-ca.pem"


def test_the_service_gets_no_password_of_the_database(fetch: Callable[..., Path]) -> None:
    folder = fetch()
    service = "postgresql://superagent_prod_service@db.example:5432/superagent_r1?" + tls(folder)
    assert (folder / "database_url").read_text() == (folder / "replica_url").read_text() == service
    assert (folder / "rds-ca.pem").read_text() == "CERTIFICATES\n"
    assert (folder / "redis_url").read_text() == f"rediss://:{encoded(TOKEN)}@cache.example:6379/0"
    assert (folder / "providers.json").read_text() == '{"openai": {}}\n'
    assert {path.name for path in folder.iterdir()} == {
        "database_url", "replica_url", "rds-ca.pem", "redis_url", "providers.json"
    }  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    settings = {
        "SUPERAGENT_DATABASE_URL_FILE": str(folder / "database_url"),
        "SUPERAGENT_DATABASE_IAM_REGION": "eu-central-1",
    }
    service_settings.load(settings)  # what the script writes is what the service takes


def test_the_owners_password_survives_every_character(fetch: Callable[..., Path]) -> None:
    folder = fetch(FETCH_OWNER="yes")
    login = f"{encoded('superagent')}:{encoded(PASSWORD)}"
    assert (folder / "database_owner_url").read_text() == (
        f"postgresql://{login}@db.example:5432/superagent_r1?{tls(folder)}"
    )


FAR, NEAR = '"arn:aws:rds:eu-west-1:1:db:far"', '"superagent-prod-reader"'


@pytest.mark.parametrize(
    ("replicas", "host"),
    [
        (NEAR, "reader.example"),
        (FAR, "db.example"),
        (f"{FAR}, {NEAR}", "reader.example"),
        (f"{NEAR}, {FAR}", "reader.example"),
    ],
)
def test_reports_go_to_a_replica_of_this_region(fetch: Callable[..., Path], replicas: str, host: str) -> None:
    assert f"@{host}:5432/" in (fetch(REPLICAS=replicas) / "replica_url").read_text()


def test_a_second_run_replaces_what_changed_and_asks_for_certificates_once(
    fetch: Callable[..., Path], tmp_path: Path
) -> None:
    folder = fetch()
    (tmp_path / "token").write_text("rotated\n")
    before = (folder / "redis_url").read_text()
    for service in ("cache", "providers"):  # AWS that is away in the middle leaves whole files
        assert (folder / "redis_url").read_text() == before
        with pytest.raises(subprocess.CalledProcessError):
            fetch(BROKEN=service)
    assert (folder / "redis_url").read_text() == f"rediss://:{encoded('rotated')}@cache.example:6379/0"
    assert (folder / "providers.json").read_text() == '{"openai": {}}\n'
    assert len((tmp_path / "asked").read_text().splitlines()) == 1


@pytest.mark.parametrize("empty", ['{"Versions": []}', "{}"])
def test_a_named_secret_of_the_service_is_a_file_and_empty_until_somebody_puts_it(
    fetch: Callable[..., Path], tmp_path: Path, empty: str
) -> None:
    keys = "k1:" + r"a\"b$`&%" * 8
    (tmp_path / "jwt").write_text(keys + "\n")
    folder = fetch(NAMED, VERSIONS=empty)
    settings = {
        "SUPERAGENT_DATABASE_URL_FILE": str(folder / "database_url"),
        "SUPERAGENT_JWT_KEYS_FILE": str(folder / "jwt_keys"),
    }
    assert not signer(service_settings.load(settings)).enabled
    assert (fetch(NAMED) / "jwt_keys").read_text() == keys
    assert signer(service_settings.load(settings)).enabled
    for gone in ("versions", "jwt"):  # AWS that is away leaves what was there
        with pytest.raises(subprocess.CalledProcessError):
            fetch(NAMED, BROKEN=gone)
        assert (folder / "jwt_keys").read_text() == keys


def test_a_secret_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    fake = tmp_path / "aws"
    fake.write_text("#!/bin/bash\nexit 254\n")
    fake.chmod(0o755)
    text = script(SOURCES, str(tmp_path / "out"))
    done = subprocess.run(
        ["bash", "-c", text], env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert done.returncode != 0
    assert not (tmp_path / "out" / "database_url").exists()
