"""Every key of a stack's configuration: type, unit, default. Only `configuration.py` reads raw values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from infra.stack import pace
from infra.stack.naming import PROJECT, Names
from infra.stack.profiles import EnvironmentName
from infra.stack.schedule import Plan

Seconds = Annotated[int, Field(ge=0)]
Days = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseModel):
    """One environment, typed. Fields without a default come from `profiles.TABLE`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    environment: EnvironmentName
    """Which column of the profiles applies."""
    compute: Literal["ec2", "eks", "local"]
    """What runs the service: an Auto Scaling group per colour, a Deployment per colour, or slots here."""
    region: str = Field("eu-central-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    """Where everything but the copies lives; `aws:region` sets it too."""

    vpc_cidr: str
    """Private block of the VPC, /16 to /20; pick one that no peer uses."""
    availability_zones: tuple[str, ...]
    """Pinned by name: discovery at run time may change order and replace subnets."""
    nat_gateways: Literal["none", "single", "per_az"]
    """Ways out of the private subnets; `per_az` survives the loss of an AZ."""

    http_port: Port
    """Production listener."""
    test_port: Port
    """Test listener; it forwards to the idle colour."""
    service_port: Port = 8000
    """Port of a target."""
    metrics_port: Port = 9464
    """Metrics of a target; read by its own collector, never by clients."""
    client_cidrs: tuple[str, ...] = ("0.0.0.0/0",)
    """Who may reach the production listener; prod and the others stand behind WAF and API keys."""

    protection: bool
    """Deletion protection, `protect`, final snapshots: what keeps data from a wrong `destroy`."""
    initial_image: str
    """Image of both colours before the first release; `none` waits for one. Later the release tool's."""

    longest_stream_seconds: Seconds
    """Longest answer a client may receive."""
    deregistration_delay_seconds: Annotated[int, Field(ge=1, le=3600)]
    """How long a leaving target finishes its requests; at least the longest stream."""
    stickiness_seconds: Annotated[int, Field(ge=1, le=604_800)]
    """Group and target cookie: how long a client stays with its colour."""
    old_colour_life_seconds: Seconds
    """Longest life of the old colour that you accept; stickiness and drain must fit into it."""
    idle_timeout_seconds: Annotated[int, Field(ge=1, le=4000)] = 300
    """Silence after which the load balancer closes a connection."""
    health_check_interval_seconds: Annotated[int, Field(ge=5, le=300)]
    """Time between two checks of a target; two good or bad ones in a row decide."""
    health_check_timeout_seconds: Annotated[int, Field(ge=2, le=120)]
    """A check that takes longer has failed; below the interval."""

    # The way in from the internet
    domain: str | None = Field(None, pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")
    """Host name of the service; with `hosted_zone_id` it gets a certificate and an address."""
    hosted_zone_id: str | None = Field(None, pattern=r"^Z[A-Z0-9]{1,31}$")
    """Route 53 zone of the domain."""
    certificate_arn: str | None = Field(None, pattern=r"^arn:aws[a-z-]*:acm:")
    """A certificate made elsewhere, instead of `hosted_zone_id`."""
    waf_requests_per_five_minutes: Annotated[int, Field(ge=10, le=2_000_000_000)] = 6_000
    """Of one client address; above it WAF answers 403. API keys have their own, finer limits."""

    # Compute
    instance_types: tuple[str, ...]
    """In order of preference; several, because one type is sometimes sold out in an AZ."""
    min_size: Annotated[int, Field(ge=0, le=500)]
    """Fewest instances or pods of the colour that has traffic."""
    max_size: Annotated[int, Field(ge=1, le=500)]
    """Most instances or pods of a colour; a cluster may have twice as many nodes, for a release has two."""
    warm_pool: bool = False
    """EC2: keep stopped instances ready; faster scale-out for the price of their disks."""
    instance_warmup_seconds: Annotated[int, Field(ge=30, le=3600)] = 90
    """From start to a full share of requests."""
    requests_per_target_per_minute: Annotated[int, Field(ge=1)] = 1_000
    """Target tracking: more instances above it."""
    cpu_target_percent: Annotated[int, Field(ge=10, le=90)] = 70
    """Target tracking, and the HPA's, of the CPU."""
    eks_version: str = Field("1.35", pattern=r"^1\.\d{2}$")
    """Minor version of Kubernetes."""
    eks_public_cidrs: tuple[str, ...] = ()
    """Who may reach the cluster's API from outside the VPC; nobody by default."""
    eks_admin_role_arns: tuple[str, ...] = ()
    """IAM roles of people who administrate the cluster."""

    tools_image: str | None = None
    """Image with `superagent` itself (infra/Dockerfile); without it no backup and no drill runs by itself."""

    # Data
    database_class: str
    """Instance type of the database and its replicas."""
    database_version: str = Field("17.10", pattern=r"^1[5-9]\.\d{1,2}$")
    """Minor versions too: an upgrade is a change that goes through staging first."""
    database_storage_gib: Annotated[int, Field(ge=20, le=65_536)]
    """First size; it grows by itself to five times that."""
    multi_az: bool
    """A standby of the database in a second AZ, and replicas of the cache in several."""
    read_replica: bool
    """A replica in the region, for reports."""
    cross_region_replica: bool
    """A replica in `replica_region`, ready to be promoted."""
    cache_node_type: str
    """Type of a cache node."""
    cache_version: str = Field("8.2", pattern=r"^\d\.\d$")
    """Engine version of Valkey."""
    cache_nodes: Annotated[int, Field(ge=1, le=6)]
    """Primary and replicas together."""

    bucket_suffix: str | None = Field(None, pattern=r"^[a-z0-9-]{0,19}[a-z0-9]$")
    """Ends the name of every bucket: all of AWS shares these names, and `superagent-prod-backups` may be
    somebody's. Choose it before the first `pulumi up`; another one later means other buckets."""

    # Backups and disaster recovery
    disaster_recovery: bool
    """Replica bucket and copied backups in `replica_region`."""
    replica_availability_zones: tuple[str, ...] = ("eu-west-1a", "eu-west-1b")
    """Pinned AZs of the second region's data subnets."""
    replica_region: str = Field("eu-west-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    """The second region; another than `region`."""
    backup_retention_days: Annotated[int, Field(ge=0, le=35)]
    """Point-in-time recovery; 35 is RDS's limit, 0 switches backups off."""
    backup_lock_days: Days
    """Object Lock of a backup: nobody deletes or changes it before this age."""
    backup_keep_days: Days = 30
    """Retention of Postgres backups, applied by `superagent backup prune`; never the newest verified one."""
    redis_keep_days: Days = 7
    """Retention of Redis backups."""
    backup_time: str = Field("02:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """When the daily backup starts, UTC; verify, prune and the weekly drill follow 2, 3 and 4 hours later."""
    database: str = Field(PROJECT, pattern=r"^[a-z][a-z0-9_]{0,62}$")
    """Database that the service uses first; a restore's cutover changes the pointer, not this key."""

    # Releases
    release_steps: Annotated[tuple[int, ...], BeforeValidator(pace.named)]
    """Per cents of traffic of a release, or canary, linear, all-at-once; --steps and --strategy win."""
    release_bake_seconds: Annotated[float, Field(ge=0, le=86_400)]
    """How long a release watches each step; --bake wins."""

    # The service
    service_settings: dict[str, Any] = {}
    """Settings of the service by name, such as `{cache_seconds: 600}`; docs/reference/settings.md lists them.
    No secrets, and none that the stack decides. A process reads them when it starts, so the next release
    brings a change to all."""

    service_secrets: tuple[str, ...] = ()
    """Secret settings that the service is given besides, of `[jwt_keys, trace_headers]`; a person puts each
    into the secret `superagent/<environment>/<name>`."""

    # Operations
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]
    """Days that CloudWatch knows (PutRetentionPolicy)."""
    managed_grafana: bool
    """Whether there is an Amazon Managed Grafana workspace."""
    alert_email: str | None = Field(None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    """Gets every alert by mail, besides the subscribers of the topic."""
    github_repository: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")
    """`owner/name` whose workflows may assume the deploy roles; without it there are none."""
    state_bucket: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """S3 bucket of Pulumi's state (`pulumi login s3://…`); the workflows' roles may read it."""
    github_oidc_provider_arn: str | None = Field(None, pattern=r"^arn:aws[a-z-]*:iam::\d{12}:oidc-provider/")
    """An account has one such provider; give its ARN when another stack made it."""

    @property
    def local(self) -> bool:
        return self.environment == "local"

    @property
    def recovery_plan(self) -> Plan:
        """When backups and drills run, and how long backups stay."""
        return Plan(self.backup_time, self.backup_keep_days, self.redis_keep_days)

    @property
    def names(self) -> Names:
        return Names(self.environment)

    def bucket_name(self, purpose: str) -> str:
        """As `names` has it, with the suffix."""
        return self.names.of(f"{purpose}-{self.bucket_suffix}" if self.bucket_suffix else purpose)
