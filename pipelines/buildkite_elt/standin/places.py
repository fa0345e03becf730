"""The REST bodies of an organization, its clusters, queues, pipelines and schedules (api.md 4.2, 4.8-4.10)."""

from __future__ import annotations

from .bodies import gid
from .providers import provider, remote
from .world import HOST, WEB, Row


def organization(one: str, name: str, slug: str, at: str) -> Row:
    url = f"{HOST}/organizations/{slug}"
    return {
        "id": one,
        "graphql_id": gid("Organization", one),
        "url": url,
        "web_url": f"{WEB}/{slug}",
        "name": name,
        "slug": slug,
        "agents_url": url + "/agents",
        "emojis_url": url + "/emojis",
        "pipelines_url": url + "/pipelines",
        "created_at": at,
    }


def pipeline(one: str, organization: str, slug: str, at: str, by: Row | None, cluster: Row | None, facts: Row) -> Row:
    """A pipeline without steps; facts `provider_id` and `repository_name` (owner/name) choose its provider."""
    kind = facts.pop("provider_id", "github")
    repository = facts.pop("repository_name", f"{organization}/{slug}")
    row: Row = {
        "id": one,
        "graphql_id": gid("Pipeline", one),
        "url": None,
        "web_url": None,
        "name": slug.replace("-", " ").capitalize(),
        "description": None,
        "slug": slug,
        "repository": remote(kind, repository),
        "branch_configuration": None,
        "default_branch": "main",
        "skip_queued_branch_builds": False,
        "skip_queued_branch_builds_filter": None,
        "cancel_running_branch_builds": False,
        "cancel_running_branch_builds_filter": None,
        "allow_rebuilds": True,
        "provider": provider(kind, repository, one.replace("-", "")),
        "builds_url": None,
        "badge_url": f"https://badge.buildkite.com/{one.replace('-', '')}.svg",
        "created_by": by,
        "created_at": at,
        "archived_at": None,
        "env": None,
        "visibility": "private",
        "tags": None,
        "emoji": None,
        "color": None,
        "cluster_id": cluster["id"] if cluster else None,
        "cluster_url": cluster["url"] if cluster else None,
        "pipeline_template_uuid": None,
        "clone_mirror_url": None,
        "default_command_step_timeout": None,
        "maximum_command_step_timeout": None,
        "configuration": "steps: []\n",
        "steps": [],
        "scheduled_builds_count": 0,
        "running_builds_count": 0,
        "scheduled_jobs_count": 0,
        "running_jobs_count": 0,
        "waiting_jobs_count": 0,
        "_organization": organization,
        "_cluster": cluster,
        "_next_build_number": 1,
        "_commit_short_length": 10,
        "_metrics": [{"label": label, "value": None} for label in ("Speed", "Reliability", "Builds")],
        "_archived_by": None,
        "_tags": [],
    }
    row.update(facts)
    row["_tags"] = [{"label": label} for label in row["tags"] or []]
    place_pipeline(row)
    return row


def place_pipeline(row: Row) -> None:
    """Write the pipeline's URLs; after it was renamed, too."""
    row["url"] = f"{HOST}/organizations/{row['_organization']}/pipelines/{row['slug']}"
    row["web_url"] = f"{WEB}/{row['_organization']}/{row['slug']}"
    row["builds_url"] = row["url"] + "/builds"


def schedule(one: str, pipeline: Row, at: str, by: Row | None, facts: Row) -> Row:
    """A schedule; its `pipeline` is a short one (api.md 4.9), `_pipeline` the pipeline itself."""
    row: Row = {
        "id": one,
        "graphql_id": gid("PipelineSchedule", one),
        "url": None,
        "label": "Nightly",
        "cronline": "@daily",
        "message": "Nightly build",
        "commit": "HEAD",
        "branch": pipeline["default_branch"],
        "env": {},
        "enabled": True,
        "next_build_at": None,
        "failed_message": None,
        "failed_at": None,
        "created_at": at,
        "created_by": by,
        "pipeline": None,
        "_pipeline": pipeline,
    }
    row.update(facts)
    place_schedule(row)
    return row


def place_schedule(row: Row) -> None:
    """Write the schedule's URL and its short pipeline."""
    pipeline = row["_pipeline"]
    row["url"] = f"{pipeline['url']}/schedules/{row['id']}"
    row["pipeline"] = {key: pipeline[key] for key in ("id", "slug", "url")}


def cluster(one: str, organization: str, name: str, at: str, by: Row | None, facts: Row) -> Row:
    url = f"{HOST}/organizations/{organization}/clusters/{one}"
    row: Row = {
        "id": one,
        "graphql_id": gid("Cluster", one),
        "default_queue_id": None,
        "name": name,
        "description": f"Agents of {name}",
        "emoji": ":gear:",
        "color": "#E0F1FF",
        "maintainers": {"users": [], "teams": []},
        "hosted_git_mirror_enabled": False,
        "hosted_container_cache_enabled": False,
        "url": url,
        "web_url": f"{WEB}/organizations/{organization}/clusters/{one}",
        "queues_url": url + "/queues",
        "default_queue_url": None,
        "created_at": at,
        "created_by": by,
    }
    row.update(facts)
    return row


def queue(one: str, cluster: Row, key: str, at: str, by: Row | None, facts: Row) -> Row:
    """A cluster queue; `_metrics` is None unless advanced queue metrics are on (api.md 5.14)."""
    row: Row = {
        "id": one,
        "graphql_id": gid("ClusterQueue", one),
        "key": key,
        "description": f"Queue {key}",
        "url": f"{cluster['url']}/queues/{one}",
        "web_url": f"{cluster['web_url']}/queues/{one}",
        "cluster_url": cluster["url"],
        "retry_agent_affinity": "prefer-warmest",
        "dispatch_paused": False,
        "dispatch_paused_by": None,
        "dispatch_paused_at": None,
        "dispatch_paused_note": None,
        "hosted": False,
        "hosted_agents": None,
        "created_at": at,
        "created_by": by,
        "_cluster": cluster,
        "_metrics": None,
    }
    row.update(facts)
    return row


def hosted() -> Row:
    """The `hosted_agents` of a hosted queue."""
    shape = {"machine_type": "linux", "architecture": "amd64", "cpu": 4, "memory": 16, "name": "LINUX_AMD64_4X16"}
    return {"instance_shape": shape, "platform_settings": {"linux": {"agent_image_ref": "ubuntu-24.04"}}}


def cluster_token(one: str, cluster: Row, description: str, at: str, by: Row | None, expires: str | None) -> Row:
    return {
        "id": one,
        "graphql_id": gid("ClusterToken", one),
        "description": description,
        "allowed_ip_addresses": "192.0.2.0/24",
        "expires_at": expires,
        "url": f"{cluster['url']}/tokens/{one}",
        "cluster_url": cluster["url"],
        "created_at": at,
        "created_by": by,
        "_cluster": cluster,
    }


def maintainer(one: str, cluster: Row, actor: Row, kind: str) -> Row:
    """A permission to maintain a cluster, of a user (name, email) or a team (slug)."""
    keys = ("id", "graphql_id", "name", "email") if kind == "user" else ("id", "graphql_id", "slug")
    return {"id": one, "actor": {key: actor[key] for key in keys} | {"type": kind}, "_cluster": cluster}


def emoji(name: str, aliases: list[str] | None = None) -> Row:
    """An emoji; `aliases` may be absent (api.md 4.2)."""
    row: Row = {"name": name, "url": f"https://buildkiteassets.com/emoji/{name}.png?v1"}
    return row | {"aliases": aliases} if aliases else row
