"""The listings of GraphQL: what each filter lets through and in which order it comes (api.md 5.3-5.11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from .answer import Refusal
from .connection import MOST, Connection, Key
from .graphql_governance import GOVERNANCE_LISTS, Listing
from .graphql_people import (
    authorizations,
    member_teams,
    members,
    pipelines_of_team,
    team_members,
    teams,
    teams_of_pipeline,
)
from .look import At, Look, global_id, job_at, last_part, moment, on_day, uuid_of, within
from .sift import Arguments, has, listing, one_of, plain
from .world import Organization, Row

MOST_META_DATA = 10_000
"""A page of `Build.metaData` may be larger than others (api.md 3.3)."""


def pipelines(look: Look, at: At, a: Arguments) -> Connection:
    org = at.home
    cluster = uuid_of(a["cluster"], "Cluster", "cluster") if a.get("cluster") else None
    mine = team_pipelines(org, a.get("team"))
    url = (a.get("repository") or {}).get("url")
    rows = [
        row
        for row in org.pipelines.values()
        if (a.get("archived") is None or bool(row.get("archived_at")) is a["archived"])
        and (cluster is None or row.get("cluster_id") == cluster)
        and (a.get("clustered") is not False or row.get("cluster_id") is None)
        and (a.get("favorite") is None or bool(row.get("_favorite")) is a["favorite"])
        and (url is None or row.get("repository") == url)
        and has(a.get("search"), row["name"])
        and {label.casefold() for label in a.get("tags") or ()} <= {label.casefold() for label in labels(row)}
        and (mine is None or mine(row["id"]))
        and within(row, a)
    ]
    return listing("Pipeline", org, rows, a, "name" if str(a.get("order")).startswith("NAME") else "")


def labels(pipeline: Row) -> list[str]:
    """A pipeline's tags; REST has them as text, the graph as objects."""
    tags = pipeline.get("_tags") or pipeline.get("tags") or ()
    return [tag["label"] if isinstance(tag, dict) else tag for tag in tags]


def team_pipelines(org: Organization, selector: str | None) -> Callable[[str], bool] | None:
    """What a TeamSelector lets through: a slug, or `!slug` for what is not the team's (api.md 5.9)."""
    if selector is None:
        return None
    selector = str(selector)
    slug = selector.removeprefix("!")
    team = next((one for one in org.teams.values() if one["slug"] == slug), None)
    ids = {one["pipeline_id"] for one in (team or {}).get("_pipelines", ())}
    return (lambda one: one not in ids) if selector.startswith("!") else (lambda one: one in ids)


def build_state(build: Row) -> str:
    """A blocked build is BLOCKED here; REST keeps the state it had (api.md 4.3)."""
    return "BLOCKED" if build.get("blocked") else str(build["state"]).upper()


def job_state(job: Row) -> str:
    """REST's passed and failed are FINISHED here; the world's `_state` is what REST shows as scheduled (api.md 7.5)."""
    state = str(job.get("_state") or job["state"]).upper()
    return "FINISHED" if state in ("PASSED", "FAILED") else state


def wanted_builds(rows: Iterable[Row], a: Arguments) -> list[Row]:
    branches = a.get("branch")
    branches = [branches] if isinstance(branches, str) else branches
    meta = [text.partition(":")[::2] for text in a.get("metaData") or ()]
    return [
        row
        for row in rows
        if (branches is None or any(on_branch(row, pattern) for pattern in branches))
        and one_of(row["commit"], a.get("commit"))
        and one_of(build_state(row), a.get("state"))
        and all(row["meta_data"].get(key) == value for key, value in meta)
        and within(row, a)
    ]


def on_branch(build: Row, pattern: str) -> bool:
    """A branch, `*` for any part of it, or %default."""
    if pattern == "%default":
        pattern = build["pipeline"].get("default_branch") or ""
    return build["branch"] == pattern or ("*" in pattern and fnmatchcase(build["branch"], pattern))


def builds(look: Look, at: At, a: Arguments) -> Connection:
    """A pipeline's builds, newest first: the greatest number first (api.md 3.3)."""
    rows = wanted_builds(look.inside(at.home).builds.get(at.row["id"], []), a)
    return Connection(rows, a, key=lambda row: (row["number"],), node=lambda row: At("Build", row, at.org))


def user_builds(look: Look, at: At, a: Arguments) -> Connection:
    """The builds that a user created, in every organization that the token sees."""
    found = [
        (org, row)
        for org in look.organizations()
        for row in wanted_builds(org.builds.values(), a)
        if (row.get("creator") or {}).get("id") == at.row["id"]
    ]
    return Connection(found, a, key=lambda p: (p[1]["created_at"], p[1]["id"]), node=lambda p: At("Build", p[1], p[0]))


def schedule_builds(look: Look, at: At, a: Arguments) -> Connection:
    rows = [
        row
        for row in look.inside(at.home).builds.get(at.row["pipeline"]["id"], [])
        if (row.get("_source") or {}).get("schedule_id") == at.row["id"]
    ]
    return Connection(rows, a, key=lambda row: (row["number"],), node=lambda row: At("Build", row, at.org))


def jobs(look: Look, at: At, a: Arguments) -> Connection:
    """The jobs of an organization, a pipeline, a build or an agent (api.md 5.4)."""
    org, kind, mine = at.home, at.type, at.row["id"]
    if kind == "Organization":
        not_too_heavy(look, a)
    if kind == "Build":
        found = [(at.row, job) for job in at.row["jobs"]]
    elif kind == "Pipeline":
        found = [(build, job) for build in look.inside(org).builds.get(mine, []) for job in build["jobs"]]
    elif kind == "Agent":
        found = [(b, job) for b, job in org.jobs() if (job.get("agent") or {}).get("id") == mine]
    else:
        found = list(org.jobs())
    wanted = job_filter(a)
    return Connection(
        [pair for pair in found if wanted(*pair)],
        a,
        key=assigned if a.get("order") == "RECENTLY_ASSIGNED" else created,
        node=lambda pair: job_at(org, *pair),
    )


def not_too_heavy(look: Look, a: Arguments) -> None:
    """Raises Refusal, a 504, for a search of all jobs over more time, or with a larger page, than is allowed."""
    longest, largest = look.budgets.heavy, look.budgets.heavy_page
    since = moment(a.get("createdAtFrom"), "createdAtFrom")
    until = moment(a.get("createdAtTo"), "createdAtTo") or look.world.now()
    page = max(a.get("first") or 0, a.get("last") or 0) or MOST
    if (longest is not None and (since is None or until - since > longest)) or (largest is not None and page > largest):
        raise Refusal(504, "Gateway Timeout")


def created(pair: tuple[Row, Row]) -> Key:
    """A job that has no time of its own counts as old as its build."""
    build, job = pair
    return (job.get("created_at") or build["created_at"], job["id"])


def assigned(pair: tuple[Row, Row]) -> Key:
    """Jobs that no agent was given come last."""
    return (assigned_at(pair[1]) or "", pair[1]["id"])


def assigned_at(job: Row) -> str | None:
    """When an agent was given a job; when it started, where nobody wrote that down (Life.history)."""
    given = (one["timestamp"] for one in job.get("_events", ()) if one["type"] == "ASSIGNED")
    return next(given, None) or job.get("started_at")


TYPES = {"script": "COMMAND", "manual": "BLOCK", "waiter": "WAIT", "trigger": "TRIGGER"}


def job_filter(a: Arguments) -> Callable[[Row, Row], bool]:
    """Which (build, job) the arguments let through; every argument narrows."""
    cluster = uuid_of(a["cluster"], "Cluster", "cluster") if a.get("cluster") else None
    queues = a.get("clusterQueue")
    queues = None if queues is None else [uuid_of(one, "ClusterQueue", "clusterQueue") for one in queues]
    rules = set(a.get("agentQueryRules") or ())
    priority = a.get("priority")
    numbers = [priority] if isinstance(priority, int) else (priority or {}).get("number")
    groups, keys = ((a.get(name) or {}).get(part) for name, part in (("concurrency", "group"), ("step", "key")))

    def wanted(build: Row, job: Row) -> bool:
        return (
            one_of(TYPES[job["type"]], a.get("type"))
            and one_of(job_state(job), a.get("state"))
            and (a.get("passed") is None or job["state"] == ("passed" if a["passed"] else "failed"))
            and rules <= set(job.get("agent_query_rules") or ())
            and (cluster is None or job.get("cluster_id") == cluster)
            and one_of(job.get("cluster_queue_id"), queues)
            and (a.get("clustered") is not False or job.get("cluster_id") is None)
            and one_of((job.get("_concurrency") or {}).get("group"), groups)
            and one_of((job.get("priority") or {}).get("number"), numbers)
            and one_of(job.get("step_key"), keys)
            and within({"created_at": job.get("created_at") or build["created_at"]}, a)
            and (a.get("finishedAt") is None or on_day(job, a["finishedAt"]))
        )

    return wanted


def agents(look: Look, at: At, a: Arguments) -> Connection:
    """The agents that REST lists, too: those that are not gone (api.md 4.5)."""
    cluster = uuid_of(a["cluster"], "Cluster", "cluster") if a.get("cluster") else None
    queues = a.get("clusterQueue")
    queues = None if queues is None else [uuid_of(one, "ClusterQueue", "clusterQueue") for one in queues]
    rows = [
        row
        for row in at.home.agents.values()
        if row["connection_state"] in ("connected", "stopping")
        and has(a.get("search"), row["name"])
        and set(a.get("metaData") or ()) <= set(row.get("meta_data") or ())
        and (a.get("paused") is None or bool(row.get("paused")) is a["paused"])
        and (a.get("isRunningJob") is None or bool(row.get("job")) is a["isRunningJob"])
        and (cluster is None or last_part(row.get("cluster_url")) == cluster)
        and one_of(last_part(row.get("cluster_queue_url")), queues)
        and (a.get("clustered") is not False or row.get("cluster_url") is None)
    ]
    return listing("Agent", at.org, rows, a)


def clusters(look: Look, at: At, a: Arguments) -> Connection:
    return listing("Cluster", at.org, at.home.clusters.values(), a, "name" if a.get("order") == "NAME" else "")


def queues(look: Look, at: At, a: Arguments) -> Connection:
    rows = [row for row in at.home.queues.values() if last_part(row["cluster_url"]) == at.row["id"]]
    return listing("ClusterQueue", at.org, rows, a, "key" if a.get("order") == "KEY" else "")


def schedules(look: Look, at: At, a: Arguments) -> Connection:
    rows = [row for row in at.home.schedules.values() if row["pipeline"]["id"] == at.row["id"]]
    return listing("PipelineSchedule", at.org, rows, a)


def metrics(look: Look, at: At, a: Arguments) -> Connection:
    """Today's reading; it has no cursor to go on from (api.md 5.2)."""
    rows = at.row.get("_metrics") or ()
    prefix, url = at.row["id"], at.row.get("web_url")
    whole = [{"graphql_id": global_id("PipelineMetric", f"{prefix}/{row['label']}"), "url": url, **row} for row in rows]
    return plain("PipelineMetric", [At("PipelineMetric", row, at.org) for row in whole], a)


def meta_data(look: Look, at: At, a: Arguments) -> Connection:
    pairs = sorted((at.row.get("meta_data") or {}).items())
    rows = [At("BuildMetaData", {"key": key, "value": value}, at.org) for key, value in pairs]
    return plain("BuildMetaData", rows, a, MOST_META_DATA)


def annotated(look: Look, at: At, a: Arguments) -> Connection:
    """Of a build, or of one of its jobs; a build's own unless `scope` says JOB, as the published schema has it."""
    build = at.row if at.build is None else at.build
    scopes = ["JOB"] if at.build else a.get("scope") or ["BUILD"]
    rows = [
        row
        for row in at.home.annotations.get(build["id"], ())
        if (at.build is None or row.get("job_id") == at.row["id"])
        and one_of(str(row["scope"]).upper(), scopes)
        and one_of(str(row.get("style") or "default").upper(), a.get("style"))
    ]
    first = str(a.get("order")).startswith("PRIORITY")
    return Connection(
        rows,
        a,
        key=lambda row: (row["priority"] if first else 0, row["created_at"], row["id"]),
        node=lambda row: At("Annotation", row, at.org, build),
    )


def artifacts(look: Look, at: At, a: Arguments) -> Connection:
    """Of a job; `path` may hold `*`."""
    rows = [
        row
        for row in at.home.artifacts.get((at.build or {}).get("id", ""), ())
        if row["job_id"] == at.row["id"]
        and one_of(str(row["state"]).upper(), [a["state"]] if a.get("state") else None)
        and (a.get("path") is None or fnmatchcase(row["path"], a["path"]))
    ]
    return plain("Artifact", [At("Artifact", row, at.org, at.build) for row in rows], a)


def events(look: Look, at: At, a: Arguments) -> Connection:
    """A job's events, in the order in which they happened."""
    rows = at.row.get("_events") or ()
    return Connection(
        rows,
        a,
        key=lambda row: (row["timestamp"], row["uuid"]),
        node=lambda row: At(EVENTS.get(row["type"], "JobEventGeneric"), {"_job": at, **row}, at.org, at.build),
        newest=False,
    )


EVENTS = {
    "ASSIGNED": "JobEventAssigned",
    "BUILD_STEP_UPLOAD_CREATED": "JobEventBuildStepUploadCreated",
    "CANCELED": "JobEventCanceled",
    "CHANGED": "JobEventChanged",
    "FINISHED": "JobEventFinished",
    "PROMISED_EXIT_STATUS": "JobEventPromisedExitStatus",
    "REPRIORITIZED": "JobEventReprioritized",
    "RETRIED": "JobEventRetried",
    "RETRY_FAILED": "JobEventRetryFailed",
    "STACK_ERRORED": "JobEventStackError",
    "STACK_FINISHED": "JobEventStackFinished",
    "STACK_NOTIFICATION": "JobEventStackNotification",
    "TIMED_OUT": "JobEventTimedOut",
}
"""Event types that have an object of their own (api.md 5.6)."""


def organizations(look: Look, at: At, a: Arguments) -> Connection:
    return plain("Organization", [At("Organization", org.body, org) for org in look.organizations()], a)


LISTS: dict[tuple[str, str], Listing] = {
    ("Organization", "agents"): agents,
    ("Organization", "clusters"): clusters,
    ("Organization", "jobs"): jobs,
    ("Organization", "members"): members,
    ("Organization", "pipelines"): pipelines,
    ("Organization", "teams"): teams,
    ("OrganizationMember", "teams"): member_teams,
    ("OrganizationMemberSSO", "authorizations"): authorizations,
    ("Pipeline", "builds"): builds,
    ("Pipeline", "jobs"): jobs,
    ("Pipeline", "metrics"): metrics,
    ("Pipeline", "schedules"): schedules,
    ("Pipeline", "teams"): teams_of_pipeline,
    ("PipelineSchedule", "builds"): schedule_builds,
    ("Build", "annotations"): annotated,
    ("Build", "jobs"): jobs,
    ("Build", "metaData"): meta_data,
    ("JobTypeCommand", "annotations"): annotated,
    ("JobTypeCommand", "artifacts"): artifacts,
    ("JobTypeCommand", "events"): events,
    ("Agent", "jobs"): jobs,
    ("Cluster", "queues"): queues,
    ("Team", "members"): team_members,
    ("Team", "pipelines"): pipelines_of_team,
    ("User", "builds"): user_builds,
    ("Viewer", "organizations"): organizations,
    **GOVERNANCE_LISTS,
}
"""Every field of the schema that gives a connection."""
