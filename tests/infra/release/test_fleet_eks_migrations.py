"""Migrations in EKS: a Job that comes as the database's owner, once a release, and says what went wrong."""

from __future__ import annotations

import json

from infra.release.fleet_eks import EksFleet
from tests.infra.release.kube.api import Cluster
from tests.infra.release.test_fleet_eks import REFUSED, V2, outcome
from tests.infra.release.test_fleet_eks import cluster as cluster
from tests.infra.release.test_fleet_eks import fleet as fleet
from tests.infra.release.test_fleet_eks import kube as kube


def test_a_migration_job_comes_as_the_owner_of_the_database_and_serves_nothing(
    cluster: Cluster, fleet: EksFleet
) -> None:
    fleet.migrate("green", V2)
    (job,) = cluster.of("Job").values()
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "migrate"
    assert pod["securityContext"]["runAsNonRoot"] is True
    (first,) = pod["initContainers"]
    assert first["name"] == "secrets"
    assert {"name": "FETCH_OWNER", "value": "yes"} in first["env"]
    (container,) = pod["containers"]
    owner = "/run/superagent/secrets/database_owner_url"
    assert {"name": "SUPERAGENT_DATABASE_OWNER_URL_FILE", "value": owner} in container["env"]
    (deployed, *_) = cluster.of("Deployment").values()
    assert "OWNER" not in json.dumps(deployed)
    assert (container["image"], container["args"]) == (V2, ["migrate", "--json"])
    assert container["envFrom"] == [{"configMapRef": {"name": "settings"}}]
    assert not {"readinessProbe", "livenessProbe", "startupProbe", "lifecycle", "ports"} & set(container)


def test_a_migration_that_failed_is_tried_again_by_the_next_release_of_its_image(
    cluster: Cluster, fleet: EksFleet
) -> None:
    cluster.job_fails = "the database is away"
    assert outcome(fleet.migrate("green", V2)) == "the database is away"
    cluster.job_fails = ""
    assert outcome(fleet.migrate("green", V2)) == ""
    assert sum(one.startswith("POST") for one in cluster.requests) == 2


def test_a_database_that_was_restored_is_migrated_by_the_next_release_of_the_same_image(
    cluster: Cluster, fleet: EksFleet
) -> None:
    """After a restore the running version is released again: its Job of before worked on another database."""
    assert outcome(fleet.migrate("green", V2)) == ""
    assert outcome(fleet.migrate("blue", V2)) == ""
    assert sum(one.startswith("POST") for one in cluster.requests) == 2


def test_a_controller_that_died_finds_the_migration_that_still_runs(
    cluster: Cluster, fleet: EksFleet
) -> None:
    cluster.job_goes_on = True
    assert fleet.migrate("green", V2).poll() is None
    again = fleet.migrate("green", V2)
    cluster.job_goes_on = False
    assert outcome(again) == ""
    assert sum(one.startswith("POST") for one in cluster.requests) == 1


def test_a_migration_whose_pod_is_gone_is_told_in_the_jobs_words(cluster: Cluster, fleet: EksFleet) -> None:
    cluster.job_fails = "x"
    migration = fleet.migrate("green", V2)
    outcome(migration)
    cluster.of("Pod").clear()
    assert migration.poll() == "Job has reached the specified backoff limit"


def test_a_migration_whose_secrets_cannot_be_fetched_says_so(cluster: Cluster, fleet: EksFleet) -> None:
    cluster.fetch_fails = REFUSED
    assert outcome(fleet.migrate("green", V2)) == REFUSED
