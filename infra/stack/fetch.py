"""The shell that turns AWS's answers into the service's secret files; the same on instances and in pods.

Only bash, curl and the AWS CLI: Amazon Linux and the CLI's image have these, and neither has to have more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

AS_OWNER: Final = "FETCH_OWNER"
"""Environment variable of the script: with it, the login of the database's owner is written too."""
OWNER_URL: Final = "database_owner_url"
AUTHORITIES: Final = "https://truststore.pki.rds.amazonaws.com"
"""What RDS signs its servers' certificates with (RDS user guide, "Using SSL/TLS"); in no system's store."""

GIVEN: Final = """given() {
  local count value
  count=$(
    aws secretsmanager list-secret-version-ids --secret-id "$1" --output text \\
      --query 'length(Versions || `[]`)'
  ) || return
  [ "$count" != 0 ] || return 0
  value=$(secret "$1") || return
  printf '%s' "$value"
}
"""
"""A secret that nobody has put yet is an empty file, which the service reads as "not set"."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the values are; names only, never values."""

    region: str
    database_pointer: str
    """SSM parameter whose value is `INSTANCE/DATABASE` (infra/stack/pointer.py)."""
    database_user: str
    """The service's own; it logs in with a token of AWS, so its URL has no password."""
    cache_address: str
    cache_secret: str
    providers_secret: str
    given: Mapping[str, str] = field(default_factory=dict)
    """`service_secrets`: file below the folder -> secret that a person may have put a value into."""


def script(sources: Sources, folder: str, owner: str | None = None) -> str:
    """Write `database_url`, `replica_url`, `redis_url`, `providers.json` and what is `given` below `folder`
    (or the script's first argument), readable by `owner` alone; with `FETCH_OWNER` also `database_owner_url`.

    It may run again under a running service: a file is there whole, old or new, and what AWS does not answer
    stops the script (each answer is an assignment of its own: bash forgets a failure inside words). Every
    character of a password is percent-encoded, so that none can break the URL; no password is an argument of
    a program.
    """
    given = [
        f"value=$(given {secret})\nprintf '%s' \"$value\" | put {name}\n"
        for name, secret in sorted(sources.given.items())
    ]
    chown = f'\n  chown {owner} "$new"' if owner else ""
    return f"""#!/bin/bash
set -euo pipefail
umask 077
export AWS_DEFAULT_REGION={sources.region}
folder=${{1:-{folder}}}
mkdir -p "$folder"
{f'chown {owner} "$folder"' if owner else ":"}
put() {{
  local new
  new=$(mktemp "$folder/.XXXXXX")
  cat > "$new"{chown}
  mv -f "$new" "$folder/$1"
}}
secret() {{ aws secretsmanager get-secret-value --secret-id "$1" --query SecretString --output text; }}
encode() {{
  local text=$1 at
  for ((at = 0; at < ${{#text}}; at++)); do printf '%%%02X' "'${{text:at:1}}"; done
}}
field() {{
  local rest=${{1#*\\"$2\\":}}
  rest=${{rest#*\\"}}
  rest=${{rest%%\\"*}}
  printf '%s' "${{rest//\\\\\\\\/\\\\}}"
}}
describe() {{
  aws rds describe-db-instances --db-instance-identifier "$1" --query "DBInstances[0].$2" --output text
}}
pointer=$(aws ssm get-parameter --name {sources.database_pointer} --query Parameter.Value --output text)
instance=${{pointer%%/*}} database=${{pointer#*/}}
if [ ! -s "$folder/rds-ca.pem" ]; then
  authorities=$(curl -fsS --retry 5 --max-time 30 {AUTHORITIES}/{sources.region}/{sources.region}-bundle.pem)
  printf '%s\\n' "$authorities" | put rds-ca.pem
fi
tls="sslmode=verify-full&sslrootcert=$folder/rds-ca.pem"
host=$(describe "$instance" Endpoint.Address)
port=$(describe "$instance" Endpoint.Port)
url() {{ printf 'postgresql://%s@%s:%s/%s?%s' "$1" "$2" "$port" "$database" "$tls"; }}
url {sources.database_user} "$host" | put database_url
# A replica of another region is named by its ARN; one that is still being made has no address.
replica=$(describe "$instance" "ReadReplicaDBInstanceIdentifiers[?!starts_with(@, 'arn:')] | [0]")
reader=None
[ "$replica" = None ] || reader=$(describe "$replica" Endpoint.Address)
[ "$reader" != None ] || reader=$host
url {sources.database_user} "$reader" | put replica_url
if [ -n "${{{AS_OWNER}:-}}" ]; then
  secret_arn=$(describe "$instance" MasterUserSecret.SecretArn)
  master=$(secret "$secret_arn")
  user=$(field "$master" username) password=$(field "$master" password)
  url "$(encode "$user"):$(encode "$password")" "$host" | put {OWNER_URL}
fi
token=$(secret {sources.cache_secret})
printf 'rediss://:%s@{sources.cache_address}:6379/0' "$(encode "$token")" | put redis_url
providers=$(secret {sources.providers_secret})
printf '%s\\n' "$providers" | put providers.json
{"".join([GIVEN, *given]) if given else ""}"""
