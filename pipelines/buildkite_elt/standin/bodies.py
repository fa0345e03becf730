"""The REST bodies of a build, its jobs, an agent, an annotation and an artifact (api.md 4.3-4.7), every key.

Facts that only GraphQL tells, and what the simulation needs, stand under `_` keys; a job's `_build` is its build.
"""

from __future__ import annotations

from binascii import b2a_base64
from random import Random
from typing import Any

from .world import HOST, WEB, Row


def uuid(random: Random) -> str:
    """A version 4 uuid out of a seeded random."""
    bits = random.getrandbits(128)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[bits & 3]}{text[17:20]}-{text[20:]}"


def gid(kind: str, one: str) -> str:
    """A global id: base64 of `Type---uuid` (api.md 5.0)."""
    return b2a_base64(f"{kind}---{one}".encode(), newline=False).decode()


def build(one: str, organization: str, pipeline: Row, number: int, at: str, facts: Row) -> Row:
    """A build that begins; `at` is its created_at. `facts` replace what is said here."""
    row: Row = {
        "id": one,
        "graphql_id": gid("Build", one),
        "url": None,
        "web_url": None,
        "number": number,
        "state": "scheduled",
        "blocked": False,
        "blocked_state": "",
        "cancel_reason": None,
        "message": "Update",
        "commit": "HEAD",
        "branch": "main",
        "tag": None,
        "env": {},
        "source": "ui",
        "author": None,
        "creator": None,
        "created_at": at,
        "scheduled_at": at,
        "started_at": None,
        "failing_at": None,
        "finished_at": None,
        "meta_data": {},
        "pull_request": None,
        "merge_queue": None,
        "rebuilt_from": None,
        "triggered_from": None,
        "cluster_id": pipeline["cluster_id"],
        "cluster_url": pipeline["cluster_url"],
        "pipeline": pipeline,
        "jobs": [],
        "_canceled_at": None,
        "_canceled_by": None,
        "_blocked_state": None,
        "_source": {"type": "ui", "schedule_id": None, "trigger_job_id": None},
        "_organization": organization,
        "_plan": (),
        "_stages": [],
        "_stage": 0,
        "_bad": set(),
        "_parent_job": None,
    }
    row.update(facts)
    place_build(row)
    return row


def place_build(row: Row) -> None:
    """Write the build's URLs, and those of its jobs; after a pipeline was renamed, too."""
    organization, slug, number = row["_organization"], row["pipeline"]["slug"], row["number"]
    row["url"] = f"{HOST}/organizations/{organization}/pipelines/{slug}/builds/{number}"
    row["web_url"] = f"{WEB}/{organization}/{slug}/builds/{number}"
    for one in row["jobs"]:
        place_job(one)


def place_job(job: Row) -> None:
    """Write a job's URLs, as its type has them (api.md 4.4)."""
    build, kind = job["_build"], job["type"]
    url = f"{build['url']}/jobs/{job['id']}"
    if kind == "script":
        job["build_url"] = build["url"]
        job["web_url"] = f"{build['web_url']}#{job['id']}"
        job["log_url"] = url + "/log"
        job["raw_log_url"] = url + "/log.txt"
        job["artifacts_url"] = url + "/artifacts"
    elif kind == "trigger":
        job["build_url"] = build["url"]
        job["web_url"] = f"{build['web_url']}#{job['id']}"
    elif kind == "manual":
        job["unblock_url"] = url + "/unblock"


def script(one: str, build: Row, at: str, queue: Row | None, step: str) -> Row:
    """A command job that nobody has begun; `queue` is its cluster queue or None, `step` the step's uuid."""
    job: Row = {
        "id": one,
        "graphql_id": gid("Job", one),
        "type": "script",
        "name": None,
        "step_key": None,
        "group_key": None,
        "step": {"id": step, "signature": None},
        "priority": {"number": 0},
        "agent_query_rules": [],
        "state": "pending",
        "build_url": None,
        "web_url": None,
        "log_url": None,
        "raw_log_url": None,
        "artifacts_url": None,
        "command": None,
        "soft_failed": False,
        "exit_status": None,
        "signal": None,
        "signal_reason": None,
        "broken_reason": None,
        "artifact_paths": None,
        "agent": None,
        "created_at": at,
        "scheduled_at": at,
        "runnable_at": None,
        "started_at": None,
        "finished_at": None,
        "expired_at": None,
        "concurrency_wait_time_ms": None,
        "retried": False,
        "retried_in_job_id": None,
        "retries_count": None,
        "retry_source": None,
        "retry_type": None,
        "retried_by": None,
        "parallel_group_index": None,
        "parallel_group_total": None,
        "matrix": None,
        "cluster_id": build["cluster_id"],
        "cluster_url": build["cluster_url"],
        "cluster_queue_id": queue["id"] if queue else None,
        "cluster_queue_url": queue["url"] if queue else None,
        "_build": build,
        "_queue": queue,
        "_state": None,
        "_canceled_at": None,
        "_concurrency": None,
        "_retry_rules": {"manual": True, "automatic": []},
        "_env": [],
        "_events": [],
        "_step": None,
        "_stage": 0,
    }
    place_job(job)
    return job


def manual(one: str, build: Row, label: str, key: str | None) -> Row:
    """A block step: it has a label, not a name, and no times of its own (api.md 4.4)."""
    job: Row = {
        "id": one,
        "graphql_id": gid("Job", one),
        "type": "manual",
        "label": label,
        "step_key": key,
        "state": "blocked",
        "web_url": None,
        "unblocked_by": None,
        "unblocked_at": None,
        "unblockable": True,
        "unblock_url": None,
        "_build": build,
        "_step": None,
        "_stage": 0,
    }
    place_job(job)
    return job


def waiter(one: str, build: Row, key: str | None) -> Row:
    """A wait step."""
    return {
        "id": one,
        "graphql_id": gid("Job", one),
        "type": "waiter",
        "step_key": key,
        "state": "waiting",
        "_build": build,
        "_step": None,
        "_stage": 0,
    }


def trigger(one: str, build: Row, at: str, name: str | None, key: str | None, later: bool) -> Row:
    """A trigger step; `later` is its `async`."""
    job: Row = {
        "id": one,
        "graphql_id": gid("Job", one),
        "type": "trigger",
        "name": name,
        "step_key": key,
        "state": "waiting",
        "async": later,
        "triggered_build": None,
        "build_url": None,
        "web_url": None,
        "created_at": at,
        "scheduled_at": at,
        "runnable_at": None,
        "started_at": None,
        "finished_at": None,
        "_build": build,
        "_step": None,
        "_stage": 0,
    }
    place_job(job)
    return job


def agent(one: str, organization: str, name: str, at: str, queue: Row | None, key: str, facts: Row) -> Row:
    """A connected agent of a cluster queue, or (queue None) an unclustered one with the tag `queue=key`.

    It carries `access_token` as live answers do (api.md 4.5): a secret, which a reader has to drop.
    """
    cluster = queue["cluster_url"].rsplit("/", 1)[1] if queue else None
    web = f"{WEB}/organizations/{organization}/"
    web += f"clusters/{cluster}/queues/{queue['id']}/agents/{one}" if queue else f"agents/{one}"
    row: Row = {
        "id": one,
        "graphql_id": gid("Agent", one),
        "url": f"{HOST}/organizations/{organization}/agents/{one}",
        "web_url": web,
        "name": name,
        "connection_state": "connected",
        "hostname": f"{name}.ci.internal",
        "ip_address": "192.0.2.13",
        "user_agent": "buildkite-agent/3.104.0 (linux; amd64)",
        "version": "3.104.0",
        "os_id": "linux",
        "arch": "amd64",
        "queue": key,
        "access_token": f"agent-secret-{one}",
        "creator": None,
        "created_at": at,
        "connected_at": at,
        "disconnected_at": None,
        "lost_at": None,
        "stopped_at": None,
        "job": None,
        "last_job_finished_at": None,
        "priority": None,
        "meta_data": [f"queue={key}"],
        "paused": False,
        "paused_at": None,
        "paused_by": None,
        "paused_note": None,
        "paused_timeout_in_minutes": None,
        "cluster_url": queue["cluster_url"] if queue else None,
        "cluster_queue_url": queue["url"] if queue else None,
        "_cluster_queue": queue,
        "_job": None,
    }
    row.update(facts)
    return row


def annotation(one: str, context: str, style: str | None, job: str | None, html: str, at: str, priority: int) -> Row:
    """An annotation of a build, or (with a job's id) of a job."""
    return {
        "id": one,
        "context": context,
        "style": style,
        "scope": "job" if job else "build",
        "job_id": job,
        "priority": priority,
        "body_html": html,
        "created_at": at,
        "updated_at": at,
    }


MIME = {
    "xml": "application/xml",
    "log": "text/plain",
    "html": "text/html",
    "gz": "application/x-gzip",
    "png": "image/png",
}


def artifact(one: str, job: Row, path: str, size: int, sha1: str, at: str) -> Row:
    """A finished upload of a job (api.md 4.7); REST tells no time of it."""
    dirname, _, filename = path.rpartition("/")
    row: Row = {
        "id": one,
        "job_id": job["id"],
        "url": None,
        "download_url": None,
        "state": "finished",
        "path": path,
        "dirname": dirname or ".",
        "filename": filename,
        "mime_type": MIME.get(filename.rpartition(".")[2], "application/octet-stream"),
        "file_size": size,
        "glob_path": None,
        "original_path": None,
        "sha1sum": sha1,
        "_job": job,
        "_created_at": at,
    }
    place_artifact(row)
    return row


def place_artifact(row: Row) -> None:
    """Write an artifact's URLs."""
    row["url"] = f"{row['_job']['build_url']}/jobs/{row['job_id']}/artifacts/{row['id']}"
    row["download_url"] = row["url"] + "/download"


def reference(build: Row) -> Row:
    """How a build is named inside another: `rebuilt_from` (api.md 4.3)."""
    return {"id": build["id"], "number": build["number"], "url": build["url"]}


def event(one: str, kind: str, at: str, actor: str, node: Row | None, extra: dict[str, Any]) -> Row:
    """A job event (api.md 5.6): actor is AGENT, DISPATCH, STACK, SYSTEM or USER."""
    who = {"type": actor, "uuid": node["id"] if node else None, "node": node}
    return {"uuid": one, "type": kind, "timestamp": at, "actor": who, **extra}
