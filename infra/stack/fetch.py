"""The shell that turns AWS's answers into the service's secret files; the same on instances and in pods.

Only bash and the AWS CLI: both images have these, and neither has to have more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the values are; names only, never values."""

    region: str
    database_pointer: str
    """SSM parameter whose value is `INSTANCE/DATABASE` (infra/stack/pointer.py)."""
    cache_address: str
    cache_secret: str
    providers_secret: str


def script(sources: Sources, folder: str, owner: str | None = None) -> str:
    """Write `database_url`, `redis_url` and `providers.json` below `folder` (or the script's first argument),
    readable by `owner` alone.

    Percent-encodes every character of a password, so that none can break the URL. The password never is an
    argument of a program.
    """
    chown = f'chown -R {owner} "$folder"\n' if owner else ""
    return f"""#!/bin/bash
set -euo pipefail
umask 077
export AWS_DEFAULT_REGION={sources.region}
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
  aws rds describe-db-instances --db-instance-identifier "$instance" --query "DBInstances[0].$1" --output text
}}
folder=${{1:-{folder}}}
mkdir -p "$folder"
pointer=$(aws ssm get-parameter --name {sources.database_pointer} --query Parameter.Value --output text)
instance=${{pointer%%/*}} database=${{pointer#*/}}
master=$(secret "$(describe MasterUserSecret.SecretArn)")
user=$(encode "$(field "$master" username)")
password=$(encode "$(field "$master" password)")
printf 'postgresql://%s:%s@%s:%s/%s?sslmode=require' \\
  "$user" "$password" "$(describe Endpoint.Address)" "$(describe Endpoint.Port)" "$database" \\
  > "$folder/database_url"
token=$(encode "$(secret {sources.cache_secret})")
printf 'rediss://:%s@{sources.cache_address}:6379/0' "$token" > "$folder/redis_url"
secret {sources.providers_secret} > "$folder/providers.json"
{chown}"""
