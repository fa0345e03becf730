"""Rules that hold in the stand-in's world at every moment."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from buildkite_elt.standin.course import settled
from buildkite_elt.standin.work import BUILDS_COUNTED, COUNTED, ENDED
from buildkite_elt.standin.world import Organization, Row


def when(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


def counted(here: Organization) -> dict[str, Counter[str]]:
    """The pipelines' counters, counted anew from builds and jobs."""
    found: dict[str, Counter[str]] = {slug: Counter() for slug in (one["slug"] for one in here.pipelines.values())}
    for build in here.builds.values():
        counts = found[build["pipeline"]["slug"]]
        if not build["blocked"]:
            counts[BUILDS_COUNTED.get(build["state"], "")] += 1
        counts.update(COUNTED.get(job["state"], "") for job in build["jobs"] if job["type"] == "script")
    return found


def assert_counters_hold(here: Organization) -> None:
    for slug, counts in counted(here).items():
        pipeline = here.pipeline(slug)
        assert pipeline is not None
        for key in {*COUNTED.values(), *BUILDS_COUNTED.values()}:
            assert pipeline[key] == counts[key], (slug, key)


def assert_consistent(here: Organization) -> None:
    """What must hold of every build at every moment."""
    created = [build["created_at"] for build in here.builds.values()]
    assert created == sorted(created)
    for build in here.builds.values():
        scripts = [job for job in build["jobs"] if job["type"] == "script"]
        assert (build["finished_at"] is not None) == (settled(build) or build["blocked"]), build["state"]
        if settled(build):
            assert all(job["state"] in ENDED or job["state"].endswith("_failed") for job in scripts)
        bad = [
            job
            for job in build["jobs"]
            if job["type"] in ("script", "trigger")
            and not job.get("retried")
            and not job.get("soft_failed")
            and job["state"] in ("failed", "timed_out", "expired", "canceled")
        ]
        if build["state"] in ("passed", "failed") and not build["blocked"]:
            assert bool(bad) == (build["state"] == "failed"), (build["number"], build["message"])
        for job in scripts:
            assert_job(job, build)


def assert_job(job: Row, build: Row) -> None:
    assert (job["finished_at"] is not None) == (job["state"] in ENDED)
    assert job["retried"] == (job["retried_in_job_id"] is not None)
    if job["state"] in ("passed", "failed"):
        assert job["agent"] is not None
        assert job["exit_status"] is not None
        times = [when(job[key]) for key in ("created_at", "runnable_at", "started_at", "finished_at")]
        assert times == sorted(times)
    if job["state"] in ("broken", "skipped", "expired"):
        assert job["started_at"] is None
    if job["retry_source"]:
        old = next(one for one in build["jobs"] if one["id"] == job["retry_source"]["job_id"])
        assert old["retried_in_job_id"] == job["id"]
        assert old["retry_type"] == job["retry_source"]["retry_type"]
        assert (old["retried_by"] is not None) == (old["retry_type"] == "manual")
        assert job["retries_count"] == (old["retries_count"] or 0) + 1
