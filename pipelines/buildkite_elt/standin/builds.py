"""Builds and jobs as REST lists and shows them (api.md 4.3, 4.4)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from .answer import Refusal
from .params import Params
from .world import Row, public

FINISHED = {"passed", "failed", "blocked", "canceled"}
BUILD_STATES = FINISHED | {"creating", "scheduled", "running", "failing", "canceling", "skipped", "not_run"}
JOB_STATES = frozenset(
    re.findall(
        r"\w+",
        "pending waiting waiting_failed blocked blocked_failed unblocked unblocked_failed limiting limited "
        "platform_limiting platform_limited scheduled reserved assigned accepted running passed failed timed_out "
        "timing_out canceled canceling skipped broken expired",
    )
)
SHOWN = ("include_retried_jobs", "exclude_jobs", "exclude_pipeline")
LISTED = (
    *SHOWN,
    "branch",
    "commit",
    "created_from",
    "created_to",
    "finished_from",
    "creator",
    "state",
    "meta_data[",
    "include_paused",
)
GOT = (*SHOWN, "include_test_engine", "job_states")
JOBS_LISTED = ("state", "include_retried_jobs", "step_key", "group_key")

Test = Callable[[Row], bool]


def newest(builds: Iterable[Row], params: Params) -> list[Row]:
    """The builds that every filter lets through, newest created first."""
    tests = list(_tests(params))
    kept = [build for build in builds if all(test(build) for test in tests)]
    kept.reverse()
    kept.sort(key=lambda build: build["created_at"], reverse=True)
    return kept


def _tests(params: Params) -> Iterable[Test]:
    """One test for every filter given; the dates first, as they leave the fewest."""
    since, until = params.moment("created_from"), params.moment("created_to")
    ended, creator = params.moment("finished_from"), params.uuid("creator")
    branches = [_wildcard(text) for text in params.many("branch")]
    commits, states = params.many("commit"), set(params.choices("state", BUILD_STATES | {"finished"}))
    said = params.keyed("meta_data")
    if not params.flag("include_paused", True):
        raise Refusal(400, "include_paused=false is not part of the stand-in")
    if since is not None:
        yield lambda build: build["created_at"] >= since
    if until is not None:
        yield lambda build: build["created_at"] < until
    if ended is not None:
        yield lambda build: build["finished_at"] is not None and build["finished_at"] >= ended
    if creator is not None:
        yield lambda build: build["creator"] is not None and build["creator"]["id"] == creator
    if branches:
        yield lambda build: any(branch.fullmatch(build["branch"] or "") for branch in branches)
    if commits:
        yield lambda build: build["commit"] in commits
    if states:
        named = (states - {"finished"}) | (FINISHED if "finished" in states else set())
        yield lambda build: ("blocked" if build["blocked"] else build["state"]) in named
    if said:
        yield lambda build: said.items() <= (build["meta_data"] or {}).items()


def _wildcard(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def jobs_of(build: Row, params: Params) -> list[Row]:
    """The jobs listing of one build: all attempts unless include_retried_jobs=false (the builds lists hide them)."""
    states = set(params.choices("state", JOB_STATES))
    step, group = params.one("step_key"), params.one("group_key")
    retried = params.flag("include_retried_jobs", True)
    return [
        job
        for job in build["jobs"]
        if (retried or not job.get("retried"))
        and (not states or states & {job.get("state"), job.get("_state")})
        and (step is None or job.get("step_key") == step)
        and (group is None or job.get("group_key") == group)
    ]


def show(build: Row, params: Params, memo: dict[int, Row]) -> Row:
    """A build in a list; `memo` keeps the copies of what many builds and jobs of one page share."""
    left_out = {"jobs", "pipeline"}
    body = public({key: value for key, value in build.items() if key not in left_out})
    if not params.flag("exclude_pipeline"):
        body["pipeline"] = _once(build["pipeline"], memo)
    if params.flag("exclude_jobs"):
        body["jobs"] = []
    else:
        states, retried = set(params.choices("job_states", JOB_STATES)), params.flag("include_retried_jobs")
        body["jobs"] = [
            show_job(job, memo)
            for job in build["jobs"]
            if (retried or not job.get("retried")) and (not states or job.get("state") in states)
        ]
    return body


def show_one(build: Row, params: Params) -> Row:
    """A build by its number: job_state_counts covers all its jobs, but honours include_retried_jobs."""
    body = show(build, params, {})
    retried = params.flag("include_retried_jobs")
    states = Counter(job["state"] for job in build["jobs"] if "state" in job and (retried or not job.get("retried")))
    body["job_state_counts"] = {"total": states.total(), "states": dict(states)}
    if params.flag("include_test_engine"):
        body["test_engine"] = build.get("_test_engine") or {"runs": []}
    return body


def show_job(job: Row, memo: dict[int, Row]) -> Row:
    """A job with its agent as the agent is now; the agent's own job stays out, else they hold each other."""
    agent = job.get("agent")
    if not agent:
        return public(job)
    body = public(job | {"agent": None})
    shared = memo.get(id(agent))
    if shared is None:
        shared = memo[id(agent)] = public({key: value for key, value in agent.items() if key != "job"})
    body["agent"] = shared
    return body


def _once(row: Row, memo: dict[int, Row]) -> Row:
    if id(row) not in memo:
        memo[id(row)] = public(row)
    return memo[id(row)]
