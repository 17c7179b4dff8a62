"""Rules about traffic: the live colour, the way releases go, room for both colours."""

from __future__ import annotations

from infra.check.facts import Facts, Missing
from infra.check.verdict import Answer, bad, good, unseen


def live(facts: Facts) -> Answer:
    """Whoever has weight has healthy targets, and at least two of them."""
    if isinstance(facts.traffic, Missing):
        return unseen(facts.traffic, "Give credentials that may elasticloadbalancing:Describe*.")
    weights = {colour: weight for colour, weight in facts.traffic.weights.items() if weight}
    if not weights:
        return bad(
            "no colour has any weight", f"superagent release start --stack {facts.environment} --version …"
        )
    status = f"See `superagent release status --stack {facts.environment}`."
    for colour in weights:
        healthy, whole = facts.traffic.healthy.get(colour, (0, 0))
        if healthy == 0 or healthy < whole:
            return bad(f"{colour} has traffic and {healthy} of {whole} targets are healthy", status)
        if whole < 2:
            return bad(
                f"{colour} has one target: its loss is an outage", "Raise superagent:min_size to 2 or more."
            )
    told = ", ".join(
        f"{colour} {weight} %, {facts.traffic.healthy[colour][0]} healthy"
        for colour, weight in weights.items()
    )
    return good(told)


def release(facts: Facts) -> Answer:
    """Traffic moves by steps, and the newest release has come to a good end."""
    if isinstance(facts.release, Missing):
        return unseen(facts.release, "Give credentials that may read the release table.")
    if facts.release is None:
        return bad("nothing was ever released", f"superagent release start --stack {facts.environment} …")
    one = facts.release
    if len(one.steps) < 2:
        return bad(f"releases go in one step ({one.steps})", "Use a strategy with steps: canary or linear.")
    if not one.ended and one.phase == "paused":
        return bad(f"the release of {one.version} is paused", "`superagent release resume`, or `abort`.")
    if one.ended and one.phase != "succeeded":
        return bad(f"the release of {one.version} ended as {one.phase}", "Mend it and release again.")
    if one.forced:
        return bad(f"{one.version} was forced out: {one.forced}", "Release once more without --force.")
    told = "succeeded" if one.ended else f"is at {one.phase}"
    return good(f"{one.version} {told}; steps {', '.join(str(step) for step in one.steps)} %")


def quotas(facts: Facts) -> Answer:
    """Both colours at their largest fit."""
    if isinstance(facts.quotas, Missing):
        return unseen(facts.quotas, "Give credentials that may servicequotas:GetServiceQuota.")
    for one in facts.quotas:
        if one.allowed < one.needed:
            return bad(
                f"{one.name}: {one.allowed:g} allowed, {one.needed:g} may be needed",
                "Make room on this machine." if facts.local else "Ask for more in Service Quotas.",
            )
    return good(", ".join(f"{one.name} {one.allowed:g} (needs {one.needed:g})" for one in facts.quotas))
