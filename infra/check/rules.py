"""The checklist: one table, one pure function a line. Limits agree with the alerts (`alerts/definitions`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from infra.check import data, traffic
from infra.check.facts import Facts, Missing
from infra.check.verdict import Answer, Verdict, bad, good, unseen

CERTIFICATE: Final = timedelta(days=21)
"""ACM renews 60 days before the end; three weeks before, it has not."""


def policy(facts: Facts) -> Answer:
    """The program in this checkout breaks no rule of infra/policy."""
    if isinstance(facts.program, Missing):
        return unseen(facts.program, "Mend the stack's file; `superagent preview` says what is wrong.")
    found = facts.program.findings
    if found:
        return bad(
            f"{len(found)} broken, the first: {found[0]}", "See `superagent preview`; mend the program."
        )
    return good("the program breaks no policy")


def tls(facts: Facts) -> Answer:
    """Nothing but TLS 1.3-capable HTTPS reaches clients, with a certificate that lasts."""
    if facts.local:
        return good("listens on loopback: nothing leaves this machine")
    if isinstance(facts.listeners, Missing):
        return unseen(facts.listeners, "Give credentials that may elasticloadbalancing:Describe*.")
    for one in facts.listeners:
        if one.protocol == "HTTPS" and "TLS13" not in one.policy:
            return bad(
                f"port {one.port} speaks {one.policy}", "Run `pulumi up`: the program sets a TLS 1.3 policy."
            )
        if one.protocol != "HTTPS" and not one.redirects:
            return bad(f"port {one.port} serves plain HTTP", "Run `pulumi up`: HTTP may only redirect.")
    if not any(one.protocol == "HTTPS" for one in facts.listeners):
        return bad("no listener speaks HTTPS", "Run `pulumi up`.")
    return _certificate(facts.certificate_ends, facts.now)


def _certificate(ends: datetime | Missing | None, now: datetime) -> Answer:
    fix = "Look at the certificate in ACM: its DNS validation record must still be there."
    if isinstance(ends, Missing):
        return unseen(ends, "Run it where the front door can be reached.")
    if ends is None:
        return bad("clients are shown no certificate", fix)
    left = (ends - now).days
    if ends - now < CERTIFICATE:
        return bad(f"the certificate ends in {left} days", fix)
    return good(f"HTTPS with TLS 1.3, the certificate lasts {left} days")


def auth(facts: Facts) -> Answer:
    """A request without a key is refused."""
    if isinstance(facts.front_status, Missing):
        return unseen(facts.front_status, "Run it where the front door can be reached.")
    if facts.front_status == 401:
        return good("a request without a key gets 401")
    if facts.front_status >= 500:
        return unseen(
            Missing(f"the front door answers {facts.front_status}"), "See `superagent release status`."
        )
    return bad(
        f"a request without a key gets {facts.front_status}",
        "Something before the service answers, or another service: look at the listener's rules.",
    )


def limits(facts: Facts) -> Answer:
    """One client cannot take everything: WAF at the edge, the limiter in the service."""
    if isinstance(facts.limiter, Missing):
        return unseen(facts.limiter, "Make the metrics readable (check `monitoring`).")
    if not facts.limiter:
        return bad("the service reports no superagent_rate_limited_total", "Release a version that limits.")
    if facts.local:
        return good("the service limits by key and client")
    if isinstance(facts.program, Missing):
        return unseen(facts.program, "Mend the stack's file.")
    if facts.program.waf_rate is None:
        return bad(
            "no WAF rule limits an address", "Set superagent:waf_requests_per_five_minutes, `pulumi up`."
        )
    return good(f"WAF: {facts.program.waf_rate} requests of an address in five minutes; the service: by key")


def monitoring(facts: Facts) -> Answer:
    """Every job of the contract is scraped and every target is up."""
    if isinstance(facts.targets, Missing):
        return unseen(facts.targets, "Name a Prometheus in SUPERAGENT_PROMETHEUS_URL, or start it.")
    missing = [job for job in facts.jobs if facts.targets.get(job, (0, 0))[1] == 0]
    if missing:
        return bad(f"nothing is scraped as {', '.join(missing)}", 'See docs/observability.md, "Scraping".')
    down = [f"{job} {up}/{whole}" for job, (up, whole) in facts.targets.items() if up < whole]
    if down:
        return bad(
            f"targets are down: {', '.join(down)}", "See the runbook of SuperAgentMonitoringTargetDown."
        )
    return good(
        f"{sum(whole for _, whole in facts.targets.values())} targets of {len(facts.targets)} jobs are up"
    )


def alerts(facts: Facts) -> Answer:
    """Rules are evaluated, and somebody hears them."""
    if isinstance(facts.watchdog, Missing):
        return unseen(facts.watchdog, "Make the metrics readable (check `monitoring`).")
    if not facts.watchdog:
        return bad(
            "the Watchdog does not fire: no rule is evaluated", "Load alerts/rules; `python -m alerts test`."
        )
    if isinstance(facts.receivers, Missing):
        return unseen(facts.receivers, "Give credentials that may sns:ListSubscriptionsByTopic.")
    if not facts.receivers:
        how = (
            "Set SUPERAGENT_ALERT_WEBHOOK and run `superagent up`."
            if facts.local
            else "Set superagent:alert_email, or subscribe to the topic, and confirm."
        )
        return bad("alerts fire and nobody is told", how)
    if not isinstance(facts.firing, Missing) and facts.firing:
        return bad(f"critical alerts fire now: {', '.join(facts.firing)}", "Follow their runbooks first.")
    kinds = ", ".join(sorted(set(facts.receivers)))
    return good(f"the Watchdog fires, {len(facts.receivers)} receivers: {kinds}")


CHECKS: Final[dict[str, tuple[str, Callable[[Facts], Answer]]]] = {
    "policy": ("The program keeps every rule", policy),
    "tls": ("Clients are served by TLS alone", tls),
    "auth": ("Nobody gets in without a key", auth),
    "limits": ("One client cannot take everything", limits),
    "monitoring": ("Everything is watched", monitoring),
    "alerts": ("Somebody is told", alerts),
    "database": ("The database outlives a zone and a mistake", data.database),
    "backups": ("A backup of today was read back", data.backups),
    "drill": ("A restore was rehearsed this week", data.drill),
    "traffic": ("The live colour is healthy", traffic.live),
    "release": ("Releases move by steps and end", traffic.release),
    "secrets": ("Secrets are young and private", data.secrets),
    "quotas": ("There is room for both colours", traffic.quotas),
}
"""Name → (the question, who answers it), in the order in which they are shown."""


def judge(facts: Facts, names: Iterable[str] = CHECKS) -> list[Verdict]:
    """A verdict for each of `names`."""
    found = []
    for name in names:
        answer = CHECKS[name][1](facts)
        found.append(Verdict(name, answer.word, answer.evidence, answer.fix))
    return found


def exit_code(found: Iterable[Verdict]) -> int:
    """0 everything passed, 1 something failed, 2 nothing failed but something could not be looked at."""
    words = {one.word for one in found}
    return 1 if "fail" in words else 2 if "unknown" in words else 0
