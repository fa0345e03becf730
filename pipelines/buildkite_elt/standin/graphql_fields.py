"""Where GraphQL says it otherwise than REST: names, values and relations (api.md 5); the rest is the same word."""

from __future__ import annotations

from typing import Any

from .graphql_governance import GOVERNANCE_FIELDS, GOVERNANCE_RENAMED, Field
from .graphql_lists import build_state, job_state, labels
from .graphql_roots import build, by_slug, node, organization, pipeline, viewer
from .look import JOBS, At, Look, cluster_of, derived, global_id, held, queue_of
from .metering import reading
from .sift import Arguments
from .webhooks import webhook
from .world import Row

RENAMED: dict[tuple[str, str], str] = {
    ("Agent", "stoppedGracefullyAt"): "stopped_at",
    ("Artifact", "size"): "file_size",
    ("JobTypeBlock", "isUnblockable"): "unblockable",
    ("JobTypeCommand", "automaticArtifactUploadPaths"): "artifact_paths",
    ("JobTypeCommand", "label"): "name",
    ("JobTypeTrigger", "label"): "name",
    ("JobTypeWait", "label"): "name",
    ("Pipeline", "cancelIntermediateBuilds"): "cancel_running_branch_builds",
    ("Pipeline", "cancelIntermediateBuildsBranchFilter"): "cancel_running_branch_builds_filter",
    ("Pipeline", "skipIntermediateBuilds"): "skip_queued_branch_builds",
    ("Pipeline", "skipIntermediateBuildsBranchFilter"): "skip_queued_branch_builds_filter",
    ("Team", "isDefaultTeam"): "default",
    **GOVERNANCE_RENAMED,
}
"""The words of REST for the same fact; elsewhere they are the same, in snake_case."""

ABSENT: dict[tuple[str, str], Any] = {
    ("Agent", "isDeprecated"): False,
    ("Agent", "pausedTimeoutInMinutes"): 5,
    ("Agent", "public"): False,
    ("Agent", "versionHasKnownIssues"): False,
    ("Annotation", "priority"): 3,
    ("JobPriority", "number"): 0,
    ("JobTypeBlock", "retried"): False,
    ("JobTypeTrigger", "async"): False,
    ("JobTypeTrigger", "retried"): False,
    ("JobTypeWait", "retried"): False,
    ("Organization", "public"): False,
    ("OrganizationMember", "complimentary"): False,
    ("OrganizationMemberSecurity", "passwordProtected"): False,
    ("OrganizationMemberSecurity", "twoFactorEnabled"): False,
    ("Pipeline", "commitShortLength"): 10,
    ("Pipeline", "favorite"): False,
    ("Pipeline", "nextBuildNumber"): 1,
    ("User", "bot"): False,
    ("User", "email"): "",
    ("User", "hasPassword"): True,
    ("User", "machineUser"): False,
}
"""What a fact is that REST does not tell and the world does not hold, where the schema wants a value."""


def created_by(look: Look, at: At) -> At | None:
    """A build's creator, or who committed without being a user; `author` has three shapes (api.md 4.3)."""
    if at.row.get("creator"):
        return At("User", at.row["creator"])
    author = at.row.get("author")
    if not author:
        return None
    told = {"email": author} if isinstance(author, str) else {key: author.get(key) for key in ("name", "email")}
    return At("UnregisteredUser", {"name": None, "email": None, **told})


SOURCES = {
    "api": ("BuildSourceAPI", "API"),
    "ui": ("BuildSourceFrontend", "Frontend"),
    "schedule": ("BuildSourceSchedule", "Schedule"),
    "trigger_job": ("BuildSourceTriggerJob", "Trigger Job"),
    "webhook": ("BuildSourceWebhook", "Webhook"),
}


def source(look: Look, at: At) -> At:
    """Where a build comes from; the names are ours, as no sample shows a real one."""
    kind, name = SOURCES[at.row["source"]]
    told = at.row.get("_source") or {}
    schedule = held(at.home, "PipelineSchedule", at.home.schedules, told.get("schedule_id"))
    if kind == "BuildSourceWebhook":
        told = webhook(at.row, look.world.now())
    return At(kind, {**told, "name": name, "pipeline_schedule": schedule}, at.org)


def triggered_from(look: Look, at: At) -> At | None:
    """The trigger job that started a build."""
    told = at.row.get("_source") or {}
    return look.inside(at.home).jobs.get(told.get("trigger_job_id") or "")


def job_of(look: Look, at: At, value: Any) -> At | None:
    """A job that is given by its row or its id."""
    return look.inside(at.home).jobs.get(value["id"] if isinstance(value, dict) else value or "")


def running(look: Look, at: At) -> At | None:
    """The job that an agent runs."""
    return job_of(look, at, at.row.get("job"))


def assignments(env: Any) -> list[str] | None:
    """A map as K=V; a list is one already (api.md 5.8)."""
    return [f"{key}={value}" for key, value in env.items()] if isinstance(env, dict) else env


def step(kind: str) -> Field:
    """A job's step: REST tells its id of command jobs only, so that others have one made from their key."""

    def made(look: Look, at: At, a: Arguments) -> At | None:
        key = at.row.get("step_key")
        uuid = (at.row.get("step") or {}).get("id")
        if uuid is None and key is None:
            return None
        uuid = uuid or derived("step", (at.build or {}).get("id", ""), str(key))
        return At(kind, {"id": uuid, "key": key, "conditional": at.row.get("_conditional")})

    return made


def actor(look: Look, at: At, a: Arguments) -> At:
    """Who did it; a node only for agents and users (api.md 5.6)."""
    told: Row = at.row.get("actor") or {"type": "SYSTEM"}
    kind = {"AGENT": "Agent", "USER": "User"}.get(told["type"])
    who = told.get("node")
    return At(
        "JobEventActor",
        {"type": told["type"], "id": told.get("uuid"), "node": At(kind, who, at.org) if kind and who else None},
        at.org,
    )


def edge_uuid(look: Look, at: At, a: Arguments) -> str:
    """A member's, a team member's or a team pipeline's own uuid: not that of the user or pipeline (api.md 5.0)."""
    team = (at.row.get("_team") or at.home.body)["id"]
    return str(at.row.get("_uuid") or derived(at.type, team, at.row["id"]))


def edge_id(look: Look, at: At, a: Arguments) -> str:
    return global_id(at.type, edge_uuid(look, at, a))


def own_id(look: Look, at: At, a: Arguments) -> str:
    """The global id; REST has none of annotations, artifacts and events."""
    given = at.row.get("graphql_id")
    return str(given or global_id(at.type, str(at.row.get("id") or at.row["uuid"])))


def member_user(look: Look, at: At, a: Arguments) -> At | None:
    return look.user(at.row.get("_user"), at.row.get("user_id") or at.row["id"])


def organization_member(look: Look, at: At, a: Arguments) -> At | None:
    return held(at.home, "OrganizationMember", at.home.members, at.row.get("user_id"))


def repository(look: Look, at: At, a: Arguments) -> Row | None:
    if not at.row.get("repository"):
        return None
    told = at.row.get("provider") or {"id": "unknown"}
    kind, name = PROVIDERS.get(told["id"], PROVIDERS["unknown"])
    return {"url": at.row["repository"], "provider": At(f"RepositoryProvider{kind}", {"name": name, "url": None})}


PROVIDERS = {
    "beanstalk": ("Beanstalk", "Beanstalk"),
    "bitbucket": ("Bitbucket", "Bitbucket"),
    "bitbucket_server": ("BitbucketServer", "Bitbucket Server"),
    "codebase": ("Codebase", "Codebase"),
    "github": ("Github", "GitHub"),
    "github_enterprise": ("GithubEnterprise", "GitHub Enterprise"),
    "gitlab": ("Gitlab", "GitLab"),
    "gitlab_ee": ("GitlabEnterprise", "GitLab Enterprise"),
    "unknown": ("Unknown", "Unknown"),
}


def pipeline_template(look: Look, at: At, a: Arguments) -> Row | None:
    """REST tells its uuid only: the rest is ours."""
    uuid, by = at.row.get("pipeline_template_uuid"), at.row.get("created_by")
    if uuid is None or by is None:
        return None
    times = {f"{what}_at": at.row["created_at"] for what in ("created", "updated")}
    told = {"name": "Template", "configuration": at.row.get("configuration") or "steps: []\n", "available": True}
    return {"uuid": uuid, "created_by": by, "updated_by": by, **times, **told}


def cluster(look: Look, at: At, a: Arguments) -> At | None:
    """`Organization.cluster(id:)` wants a uuid, unlike every filter (api.md 5.0)."""
    return held(at.home, "Cluster", at.home.clusters, a["id"])


FIELDS: dict[tuple[str, str], Field] = {
    ("Query", "agent"): lambda look, at, a: by_slug(look, "Agent", a["slug"]),
    ("Query", "build"): lambda look, at, a: build(look, a.get("slug"), a.get("uuid")),
    ("Query", "job"): lambda look, at, a: look.job(a["uuid"]),
    ("Query", "node"): lambda look, at, a: node(look, a["id"]),
    ("Query", "organization"): lambda look, at, a: organization(look, a.get("slug"), a.get("uuid")),
    ("Query", "pipeline"): lambda look, at, a: pipeline(look, a.get("slug"), a.get("uuid")),
    ("Query", "pipelineSchedule"): lambda look, at, a: by_slug(look, "PipelineSchedule", a["slug"]),
    ("Query", "team"): lambda look, at, a: by_slug(look, "Team", a["slug"]),
    ("Query", "viewer"): lambda look, at, a: viewer(look),
    ("*", "id"): own_id,
    ("*", "actor"): actor,
    ("*", "organization"): lambda look, at, a: At("Organization", at.home.body, at.home),
    ("*", "cluster"): lambda look, at, a: cluster_of(at),
    ("*", "clusterQueue"): lambda look, at, a: queue_of(at),
    ("*", "build"): lambda look, at, a: At("Build", at.build, at.org) if at.build else None,
    ("Organization", "cluster"): cluster,
    ("Pipeline", "archived"): lambda look, at, a: bool(at.row.get("archived_at")),
    ("Pipeline", "pipelineTemplate"): pipeline_template,
    ("Pipeline", "repository"): repository,
    ("Pipeline", "steps"): lambda look, at, a: {"yaml": at.row.get("configuration")},
    ("Pipeline", "tags"): lambda look, at, a: [{"label": label} for label in labels(at.row)],
    ("PipelineSchedule", "env"): lambda look, at, a: assignments(at.row.get("env")),
    ("PipelineSchedule", "pipeline"): lambda look, at, a: held(
        at.home, "Pipeline", at.home.pipelines, at.row["pipeline"]["id"]
    ),
    ("Build", "createdBy"): lambda look, at, a: created_by(look, at),
    ("Build", "env"): lambda look, at, a: assignments(at.row.get("env")),
    ("Build", "pullRequest"): lambda look, at, a: at.row.get("pull_request") or None,
    ("PullRequest", "id"): lambda look, at, a: at.row["id"],
    ("Build", "rebuiltFrom"): lambda look, at, a: held(
        at.home, "Build", at.home.builds, (at.row.get("rebuilt_from") or {}).get("id")
    ),
    ("Build", "source"): lambda look, at, a: source(look, at),
    ("Build", "state"): lambda look, at, a: build_state(at.row),
    ("Build", "triggeredFrom"): lambda look, at, a: triggered_from(look, at),
    ("User", "avatar"): lambda look, at, a: {"url": at.row.get("avatar_url") or ""},
    ("UnregisteredUser", "avatar"): lambda look, at, a: {"url": ""},
    ("Annotation", "body"): lambda look, at, a: {
        "text": at.row.get("_body") or at.row.get("body_html") or "",
        "html": at.row.get("body_html"),
    },
    ("*", "retrySource"): lambda look, at, a: job_of(look, at, (at.row.get("retry_source") or {}).get("job_id")),
    **{(kind, "state"): lambda look, at, a: job_state(at.row) for kind in JOBS.values()},
    ("JobTypeBlock", "step"): step("StepInput"),
    ("JobTypeCommand", "step"): step("StepCommand"),
    ("JobTypeTrigger", "step"): step("StepTrigger"),
    ("JobTypeWait", "step"): step("StepWait"),
    ("JobTypeCommand", "env"): lambda look, at, a: assignments(at.row.get("_env")),
    ("JobTypeCommand", "passed"): lambda look, at, a: at.row["state"] == "passed",
    ("JobTypeCommand", "pipeline"): lambda look, at, a: (at.build or {}).get("pipeline"),
    ("JobTypeCommand", "priority"): lambda look, at, a: at.row.get("priority") or {"number": 0},
    ("JobTypeTrigger", "triggered"): lambda look, at, a: held(
        at.home, "Build", at.home.builds, (at.row.get("triggered_build") or {}).get("id")
    ),
    ("JobEventRetried", "retriedInJob"): lambda look, at, a: job_of(look, at, at.row.get("retried_in_job")),
    ("Artifact", "job"): lambda look, at, a: job_of(look, at, at.row["job_id"]),
    ("Agent", "isRunningJob"): lambda look, at, a: running(look, at) is not None,
    ("Agent", "job"): lambda look, at, a: running(look, at),
    ("Agent", "operatingSystem"): lambda look, at, a: {"name": at.row["os_id"]} if at.row.get("os_id") else None,
    ("ClusterQueue", "metrics"): lambda look, at, a: reading(look, at),
    ("Cluster", "defaultQueue"): lambda look, at, a: held(
        at.home, "ClusterQueue", at.home.queues, at.row.get("default_queue_id")
    ),
    ("OrganizationMember", "user"): member_user,
    ("TeamMember", "user"): member_user,
    ("TeamMember", "organizationMember"): organization_member,
    ("TeamPipeline", "pipeline"): lambda look, at, a: held(
        at.home, "Pipeline", at.home.pipelines, at.row["pipeline_id"]
    ),
    **{(kind, "uuid"): edge_uuid for kind in ("OrganizationMember", "TeamMember", "TeamPipeline")},
    **{(kind, "id"): edge_id for kind in ("OrganizationMember", "TeamMember", "TeamPipeline")},
    **GOVERNANCE_FIELDS,
}
"""The exceptions, by type and field; `*` is every type that has no row of its own."""
