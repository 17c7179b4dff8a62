"""Create what moto knows of the real prod estate; a process of its own (Pulumi's monitor lives once).

    python -m tests.infra.local.estate_in_moto ENDPOINT COMPUTE OUT

Reads everything back afterwards and writes down what differs from the declaration.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Lock
from typing import Any

from infra.local.emulated import MAKERS
from infra.local.emulated_clients import Aws
from infra.preview import answers
from infra.preview.estate import configuration
from infra.stack import offline
from tests.infra.local.moto_kinds import KINDS
from tests.infra.local.moto_kinds.kind import Made, differences

REPLICA = "replicateSourceDb"


def main(endpoint: str, compute: str, out: Path) -> None:
    regions: dict[str, Aws] = {}
    ids: dict[str, str] = {}
    made: dict[str, Made] = {}
    recorded_only: set[str] = set()
    refused: dict[str, str] = {}
    lock = Lock()

    def answer(one: offline.Registration) -> tuple[str, dict[str, Any]]:
        region = one.inputs.get("region", "eu-central-1")
        identity, plausible = answers.answer(one)
        with lock:
            aws = regions.setdefault(region, Aws(endpoint, region))
            if one.type in MAKERS:
                identity, outputs = MAKERS[one.type](aws, one)
            elif one.type in KINDS and REPLICA not in one.inputs:
                try:
                    found = made[one.urn] = KINDS[one.type](aws, one)
                except Exception as wrong:  # reported with the resource's name; the run goes on
                    refused[one.urn] = f"{type(wrong).__name__}: {wrong}"
                    return identity, plausible
                identity, outputs = found.identity, found.outputs
            else:
                if one.type.startswith("aws:"):
                    recorded_only.add(one.type + (" (replica)" if REPLICA in one.inputs else ""))
                return identity, plausible
            ids[f"{one.type}::{one.name}"] = identity
            return identity, {**plausible, **outputs}

    home = Aws(endpoint, "eu-central-1")
    home["route53"].create_hosted_zone(Name="superagent.example", CallerReference=compute)
    run = offline.run("prod", configuration("prod", {"compute": compute}), answer, answers.call)
    wrong = dict(refused)
    for urn, one in made.items():
        if one.read is not None and (found := list(differences(one.want, one.read()))):
            wrong[urn] = "; ".join(found)
    out.write_text(
        json.dumps(
            {
                "ids": ids,
                "outputs": run.outputs,
                "wrong": wrong,
                "recorded_only": sorted(recorded_only),
                "kinds": sorted({urn.split("::")[2].split("$")[-1] for urn in made}),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
