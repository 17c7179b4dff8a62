"""What differs between environments: one table. A row is a settings key, a column an environment.

Everything that is the same everywhere is a default in `settings.py`; any cell can be overridden by
`pulumi config set superagent:<key>`.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

EnvironmentName = Literal["local", "dev", "staging", "prod"]
ENVIRONMENTS: Final[tuple[EnvironmentName, ...]] = get_args(EnvironmentName)

TWO = ("eu-central-1a", "eu-central-1b")
THREE = ("eu-central-1a", "eu-central-1b", "eu-central-1c")

TABLE: Final[dict[str, tuple[Any, Any, Any, Any]]] = {
    # key                              local        dev          staging      prod
    "compute":                        ("local",     "ec2",       "ec2",       "ec2"),
    "vpc_cidr":                       ("10.70.0.0/16", "10.71.0.0/16", "10.72.0.0/16", "10.73.0.0/16"),
    "availability_zones":             (TWO,         TWO,         TWO,         THREE),
    "nat_gateways":                   ("none",      "single",    "single",    "per_az"),
    "http_port":                      (8080,        443,         443,         443),
    "test_port":                      (8081,        8443,        8443,        8443),
    "protection":                     (False,       False,       True,        True),
    "initial_image":                  ("v1",        "none",      "none",      "none"),
    "longest_stream_seconds":         (10,          300,         300,         300),
    "deregistration_delay_seconds":   (10,          330,         330,         330),
    "stickiness_seconds":             (5,           86400,       86400,       86400),
    "old_colour_life_seconds":        (15,          86730,       86730,       90000),
    "health_check_interval_seconds":  (5,           10,          10,          10),
    "health_check_timeout_seconds":   (2,           5,           5,           5),
    "instance_types":                 ((),          ("c7i.large", "c6i.large"), ("c7i.large", "c6i.large"),
                                       ("c7i.xlarge", "c6i.xlarge", "m7i.xlarge")),
    "min_size":                       (1,           1,           2,           3),
    "max_size":                       (2,           3,           6,           30),
    "database_class":                 ("",          "db.t4g.medium", "db.m7g.large", "db.m7g.xlarge"),
    "database_storage_gib":           (20,          20,          100,         400),
    "multi_az":                       (False,       False,       True,        True),
    "read_replica":                   (False,       False,       False,       True),
    "cross_region_replica":           (False,       False,       False,       True),
    "backup_retention_days":          (1,           7,           35,          35),
    "backup_lock_days":               (1,           1,           7,           30),
    "disaster_recovery":              (False,       False,       False,       True),
    "cache_node_type":                ("",          "cache.t4g.small", "cache.m7g.large", "cache.r7g.large"),
    "cache_nodes":                    (1,           1,           2,           3),
    "release_steps":                  ((10, 50, 100), "canary",   "canary",    "canary"),
    "release_bake_seconds":           (2.0,         60.0,        120.0,       300.0),
    "log_retention_days":             (1,           14,          30,          365),
    "managed_grafana":                (False,       False,       True,        True),
}  # fmt: skip


def profile(environment: EnvironmentName) -> dict[str, Any]:
    """The column of one environment as settings keys and values."""
    column = ENVIRONMENTS.index(environment)
    return {key: cells[column] for key, cells in TABLE.items()}
