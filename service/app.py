"""The service, put together: what exists, in which order it opens, and which path leads where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from service.agents.code.agent import CodeAnalysisAgent
from service.agents.registry import Registry
from service.api.edge import Edge
from service.api.endpoint import Door
from service.api.gate import Gate
from service.api.health import Health
from service.api.pipeline import Pipeline, Router
from service.api.routes import routes
from service.auth.audit import Audit
from service.auth.authenticator import Authenticator
from service.auth.credentials import AllCredentials
from service.auth.keys import KeyStore
from service.auth.revocations import Revocations
from service.auth.sessions import TokenStore
from service.auth.setup import oidc, signer
from service.cache.semantic_setup import semantic_cache
from service.cache.sharing import Sharing
from service.debates.calls import Calls
from service.debates.retention import Retention
from service.debates.runner import Runner
from service.debates.store import Store
from service.limits.admission import Admission
from service.limits.limiter import Plans, Rates
from service.limits.local import LocalBuckets
from service.middleware.cors import Cors
from service.quality.scorer import Scorer
from service.settings import Settings
from service.storage.database import Database
from service.storage.journal import Journal
from service.storage.leases import Leases
from service.storage.login import logins
from service.storage.redis_cluster import RedisCluster
from service.storage.redis_link import Address, RedisLink
from service.storage.runtime_settings import Runtime, RuntimeSettings
from service.storage.shipper import Shipper
from service.storage.spending import Spending
from service.telemetry import wiring as tracing
from service.telemetry.agents import AgentMetrics
from service.telemetry.logs import JsonLog
from service.telemetry.metrics import Metrics


class Service:
    """Everything one process holds. `start` opens in order, `close` closes in reverse; both are safe while
    stores are away.
    """

    def __init__(self, settings: Settings, metrics: Metrics, log: JsonLog, router: Router) -> None:
        self.settings = settings
        self.metrics = metrics
        self.router = router
        self.log = log
        self.traces = tracing.exporter(settings, metrics, log)
        self.tracer = tracing.tracer(settings, self.traces)
        metrics.build_info.labels(settings.version, settings.colour).set(1)

        # stores
        self.database = self._database("database_url", settings.database_pool_size)
        self.database.on_change.append(self._dependency("postgres", self.database))
        self.replica = self._database("replica_url", 2) if settings.replica_url is not None else None
        if self.replica is not None:
            self.replica.on_change.append(self._dependency("replica", self.replica))
        self.redis = self._redis_address()
        self.link = self._link()
        self.leases = Leases(self.link)
        self.journal = Journal(settings.journal_dir)
        metrics.journal_pending.labels().set_function(lambda: self.journal.pending)
        self.shipper = Shipper(self.journal, self.database, self._rejected_row)

        # who asks, and how much they may
        self.audit = Audit(self.database, metrics, self.log)
        self.keys = KeyStore(self.database)
        self.signer = signer(settings)
        self.tokens = TokenStore(self.database, self.signer)
        self.authenticator = Authenticator(
            AllCredentials(self.keys, self.signer, self.tokens, oidc(settings)),
            settings.auth_fresh_seconds,
            settings.auth_stale_seconds,
        )
        self.authenticator.on_success = self.audit.success
        self.revocations = Revocations(self.database, self.link, self.redis, self.authenticator.forget)
        self.plans = Plans(self._rates())
        self.admission = Admission(
            self.link, LocalBuckets(1 / settings.limit_processes), Spending(self.database).by_counter
        )
        if self.link is not None:
            self.link.on_change += [self._dependency("redis"), self.admission.redis_is_back]

        # what they get
        self.health = Health(settings.version, settings.colour, self.dependencies, self.database)
        self.scorer = self._scorer()
        self.pipeline = self._pipeline()
        self.runtime = self._runtime()
        self.debates = self._debates()
        self.retention = Retention(self.debates.store, self.log, settings.debate_retention_days)
        self.agents = Registry([CodeAnalysisAgent()], AgentMetrics(metrics))
        self.edge = self._edge()

    async def start(self) -> None:
        """Open everything. Raises `JournalInUse`; a store that is away is no error."""
        self.log.bind(asyncio.get_running_loop())
        self.journal.open()
        if self.traces is not None:
            self.traces.start()
        if self.link is not None:
            await asyncio.gather(self.database.start(), self.link.start())
        else:
            await self.database.start()
        if self.replica is not None:
            await self.replica.start()
        self.leases.start()
        await self.shipper.start()
        await self.revocations.start()
        await self.runtime.start()
        self.audit.start()
        if self.scorer is not None:
            self.scorer.start()
        self.agents.add_installed()
        await self.router.start()
        self.debates.start()
        self.retention.start()
        self.edge.start()
        self.health.starting = False

    async def close(self) -> None:
        await self.edge.close()
        await self.retention.close()
        await self.debates.close()
        await self.router.close()
        await self.revocations.close()
        await self.runtime.close()
        await self.audit.close()
        if self.scorer is not None:
            await self.scorer.close()
        await self.shipper.close()
        await self.leases.close()
        if self.link is not None:
            await self.link.close()
        if self.replica is not None:
            await self.replica.close()
        await self.database.close()
        self.journal.close()
        if self.traces is not None:
            await self.traces.close()
        self.log.bind(None)

    def drain(self) -> None:
        """Readiness goes red; what is open may finish."""
        self.health.draining = True
        self.edge.drain()
        self.debates.drain()

    def dependencies(self) -> dict[str, dict[str, Any]]:
        found = {"postgres": {"up": self.database.available, "reason": self.database.reason}}
        if self.link is not None:
            reason = "" if self.link.available else "it does not answer in time; limits are local, caches off"
            found["redis"] = {"up": self.link.available, "reason": reason}
        health = getattr(self.router, "health", None)
        if health is not None:
            states = health()
            bad = sorted(name for name, state in states.items() if not state.healthy)
            found["providers"] = {
                "up": len(bad) < len(states),
                "reason": f"not healthy: {', '.join(bad)}" if bad else "",
            }
        return found

    # --- wiring

    def _rates(self) -> Rates:
        settings = self.settings
        return Rates(
            settings.limit_global_per_minute,
            settings.limit_client_per_minute,
            settings.limit_client_tokens_per_minute,
            settings.limit_burst,
            tuple(settings.limit_endpoints.items()),
            cluster=settings.redis_cluster,
        )

    def _pipeline(self) -> Pipeline:
        settings = self.settings
        wait = settings.cache_share_seconds
        return Pipeline(
            self.router,
            self.plans,
            self.admission,
            self.journal,
            self.link,
            self.metrics,
            seconds=settings.request_timeout_seconds,
            cache_seconds=settings.cache_seconds,
            cache_bytes=settings.cache_max_bytes,
            scorer=self.scorer,
            semantic=semantic_cache(settings, self.router, self.link, self.metrics),
            sharing=Sharing(self.link, self.leases, wait) if self.link is not None and wait else None,
        )

    def _scorer(self) -> Scorer | None:
        share = self.settings.quality_sample
        quality = self.metrics.answer_quality
        if not share:
            return None
        return Scorer(self.journal, share, lambda provider, score: quality.labels(provider).observe(score))

    def _runtime(self) -> RuntimeSettings:
        cache = Runtime("cache_seconds", 0, 2_592_000, "seconds", "How long answers are kept; 0: never.")
        given = self.settings.cache_seconds
        return RuntimeSettings(self.database, {cache.name: (cache, given, self.pipeline.keep_answers)})

    def _debates(self) -> Runner:
        settings = self.settings
        return Runner(
            Store(
                self.database,
                per_key=settings.debates_per_key,
                total=settings.debates_total,
                lease_seconds=settings.debate_lease_seconds,
            ),
            Calls(self.router, self.plans, self.admission),
            self.journal,
            self.metrics,
            self.log,
            lease_seconds=settings.debate_lease_seconds,
            most=settings.debates_per_process,
            drain_seconds=settings.drain_seconds,
            tracer=self.tracer,
        )

    def _edge(self) -> Edge:
        settings = self.settings
        gate = Gate(
            self.authenticator, self.audit, settings.auth_failures_per_minute, settings.trusted_proxies
        )
        hot, cold = routes(self, gate, Door(gate, self.plans, self.admission, self.metrics))
        origins = [one.strip() for one in settings.cors_origins.split(",") if one.strip()]
        return Edge(hot, cold, self.metrics, self.log, settings.version, Cors(origins), self.tracer)

    def _database(self, setting: str, size: int) -> Database:
        url = self.settings.follow(setting)
        return Database(url(), size, logins=logins(url, self.settings.database_iam_region))

    def _redis_address(self) -> Address | None:
        url = self.settings.redis_url
        return Address(url.get_secret_value(), self.settings.follow("redis_url")) if url is not None else None

    def _link(self) -> RedisLink | RedisCluster | None:
        if self.redis is None:
            return None
        kind = RedisCluster if self.settings.redis_cluster else RedisLink
        return kind(self.redis, self.settings.redis_timeout_seconds)

    def _dependency(self, name: str, database: Database | None = None) -> Callable[[bool], None]:
        gauge = self.metrics.dependency_up.labels(name)

        def changed(up: bool) -> None:
            gauge.set(1 if up else 0)
            why = {"reason": database.reason} if database is not None and not up else {}
            self.log.write("info" if up else "warning", "dependency", {"dependency": name, "up": up, **why})

        return changed

    def _rejected_row(self, what: str) -> None:
        self.log.write("error", "usage_row_rejected", {"row": what})


def create_app(settings: Settings, router: Router | None = None) -> Service:
    """Build the service; nothing is opened before `start`. Tests may bring their own router.

    Raises `ConfigError` for a wrong providers file and `ValueError` for a wrong Redis or trace URL.
    """
    metrics = Metrics()
    log = JsonLog(settings.log_level, version=settings.version, colour=settings.colour)
    if router is None:
        from service.routing.router import Router as ConfiguredRouter
        from service.telemetry.attempts import AttemptLog
        from service.telemetry.routing import RoutingMetrics

        recorder = RoutingMetrics(metrics, AttemptLog(log))
        configured = router = ConfiguredRouter.from_file(settings.providers_file, recorder)
        if unpriced := configured.unpriced():
            log.write("warning", "models_without_price", {"models": unpriced})
    return Service(settings, metrics, log, router)
