"""Create what the emulator knows of the real prod estate; a process of its own (Pulumi's monitor lives once).

python -m tests.infra.local.estate_in_moto ENDPOINT OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Lock
from typing import Any

import boto3

from infra.local.emulated import MAKERS
from infra.local.emulated_clients import EMULATED_CREDENTIALS, Aws
from infra.preview import answers
from infra.preview.estate import configuration
from infra.stack import offline

CERTIFICATE = "aws:acm/certificate:Certificate"


def main(endpoint: str, out: Path) -> None:
    regions: dict[str, Aws] = {}
    ids: dict[str, str] = {}
    lock = Lock()

    def answer(one: offline.Registration) -> tuple[str, dict[str, Any]]:
        region = one.inputs.get("region", "eu-central-1")
        with lock:
            aws = regions.setdefault(region, Aws(endpoint, region))
            if one.type == CERTIFICATE:
                identity, made = answers.answer(one)
                client: Any = boto3.client(
                    "acm", region_name=region, endpoint_url=endpoint, **EMULATED_CREDENTIALS
                )
                arn = client.request_certificate(DomainName=one.inputs["domainName"])["CertificateArn"]
                return arn, {**made, "arn": arn}
            maker = MAKERS.get(one.type)
            identity, plausible = answers.answer(one)
            if maker is None:
                return identity, plausible
            identity, made = maker(aws, one)
            ids[f"{one.type}::{one.name}"] = identity
            return identity, {**plausible, **made}

    run = offline.run("prod", configuration("prod", {}), answer, answers.call)
    out.write_text(json.dumps({"ids": ids, "outputs": run.outputs}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
