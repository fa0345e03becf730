"""What `verify` found, as figures, for programs and for people; and the gaps it asked for, written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from buildkite_ci.probe import Probe
from buildkite_ci.times import instant, told

from . import show, warehouse
from .holdings import Holdings

if TYPE_CHECKING:
    from .verify import Findings

EXAMPLES = 10

Span = tuple[datetime, datetime]


def document(found: Findings, probe: Probe, here: Holdings, covered: Sequence[Span]) -> dict[str, Any]:
    """One organization's part of `verify --json`."""
    missing = len(found.missing) + found.unexplained
    recall = None if found.in_api is None else 1 - missing / found.in_api if found.in_api else 1.0
    alive = sum(found.gaps.values())
    wrong = missing or found.stale or found.doubled or found.orphans or recall is None
    spent = probe.wire.budget.spent
    return {
        "organization": here.organization,
        "from": here.begin,
        "to": here.end,
        "exit_code": 1 if wrong else 0,
        "recall": recall,
        "builds": {
            "in_api": found.in_api,
            "in_warehouse": found.in_warehouse,
            "missing": missing,
            "stale": len(found.stale),
            "changed_since_the_load": len(found.changed),
            "gone_upstream": len(found.gone),
        },
        "sampled": found.sampled,
        "gaps": {"asked": len(found.gaps), "deleted": len(found.gaps) - alive, "alive": alive, "left": found.gaps_left},
        "ghosts": {"here": found.ghosts, "also_in_api": found.ghosts_upstream},
        "orphan_jobs": found.orphans,
        "doubled": found.doubled[:EXAMPLES],
        "missing": [_missing(item) for item in list(found.missing.values())[:EXAMPLES]],
        "stale": list(found.stale.values())[:EXAMPLES],
        "undone": found.undone,
        "spent": {"requests": sum(one.requests for one in spent.values()), "points": spent["graphql"].points},
        "probes": [asdict(one) for one in probe.told()],
        "next": list(_next(found, covered)),
    }


def _missing(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item.get(name) for name in ("id", "number", "created_at", "state", "web_url")}


def _next(found: Findings, covered: Sequence[Span]) -> Iterator[str]:
    """What to type next, a command and why."""
    created = sorted(instant(item["created_at"]) for item in found.missing.values())
    outside = [at for at in created if not any(begin <= at < end for begin, end in covered)]
    again = [at for at in created if at not in outside] + [found.stale_since] * (found.stale_since is not None)
    if outside:
        yield f"buildkite-elt load builds --since {told(outside[0])}: {len(outside)} builds were never asked for"
    oldest = min((at for at in again if at), default=None)
    if oldest:
        yield f"buildkite-elt load builds --again --since {told(oldest)}: reads again what is wrong here"
    if found.undone:
        yield "buildkite-elt verify with larger --max-requests and --max-points: something was left undone"
    if found.changed:
        yield f"buildkite-elt load: {len(found.changed)} builds changed since the last load"


def record(target: warehouse.Target, slug: str, found: Findings) -> None:
    """Write down which gaps were asked for, so that a deleted build is not asked for twice. Where a load is running
    nothing is written, and the next `verify` asks again."""
    import dlt

    from buildkite_ci.catalog import catalog
    from buildkite_ci.resources import hints

    if not found.gaps:
        return
    table, at = catalog()["build_gaps"], (found.at or datetime.now(UTC)).isoformat()
    rows = [{"pipeline_id": one, "number": number, "found": alive} for (one, number), alive in found.gaps.items()]
    read = table.read(rows, {"organization_slug": slug, "checked_at": at})
    made = dlt.resource([read], name=table.name, **hints(table))
    try:
        with warehouse.alone(target), warehouse.pipeline(target, slug) as pipe, warehouse.named(target):
            pipe.run(dlt.source(lambda: [made], name="buildkite_ci", max_table_nesting=0)())
    except warehouse.Busy:
        found.undone.append("writing down the gaps: a load is running")


def tell(found: dict[str, Any]) -> None:
    """One organization's verdict for people."""
    builds, gaps, ghosts = found["builds"], found["gaps"], found["ghosts"]
    span = f"{found['from']:%Y-%m-%d %H:%M} to {found['to']:%Y-%m-%d %H:%M} UTC"
    show.say(f"{found['organization']}, builds created {span}", "bold")
    asked = f"{gaps['asked']} asked for: {gaps['deleted']} deleted, {gaps['alive']} missing here"
    show.pairs(
        {
            "builds in the API": builds["in_api"],
            "builds here": builds["in_warehouse"],
            "missing here": builds["missing"],
            "stale here": builds["stale"],
            "changed since the last load": builds["changed_since_the_load"],
            "gone from the API, kept here": builds["gone_upstream"],
            "re-read field by field": found["sampled"],
            "gaps in the numbers": f"{asked}; {gaps['left']} not asked for",
            "open though all jobs ended": f"{ghosts['here']}, in the API too: {ghosts['also_in_api']}",
            "jobs without their build": found["orphan_jobs"],
            "here twice": len(found["doubled"]),
        }
    )
    for item in found["missing"]:
        show.say(f"missing: {item['web_url'] or item['id']}, {item['state']}, created {item['created_at']}", "red")
    for one in (*(f"stale: {text}" for text in found["stale"]), *(f"twice: {text}" for text in found["doubled"])):
        show.say(one, "red")
    for one in found["undone"]:
        show.say(f"Not done within the budget: {one}", "yellow")
    spent = found["spent"]
    show.say(f"Spent {spent['requests']} requests and {spent['points']} points", "dim")
    recall = "cannot be told" if found["recall"] is None else f"{_floor(found['recall'])} %"
    show.say(f"Recall {recall}, {builds['stale']} stale", "red" if found["exit_code"] else "green")
    for text in found["next"]:
        show.say(f"  {text}")


def _floor(share: float) -> str:
    """A share in percent that is 100 only where nothing is missing."""
    return f"{int(share * 10_000) / 100:g}"
