"""What builds leave behind, annotations, artifacts and rarer events, and what takes builds and pipelines away."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from uuid import NAMESPACE_URL, uuid5

import orjson

from . import bodies
from .plan import End, Step
from .work import BUILDS_COUNTED, COUNTED, Work
from .world import Row

LONG, PATIENCE = 3600.0, 3600.0
"""A job that takes longer than LONG seconds asks for more time; one that waits longer than PATIENCE is put forward."""


class Traces(Work):
    """Both stores of the organization are by build id."""

    # Events that few jobs have (api.md 5.6). What the real one says in their texts is not known.

    def enqueue(self, job: Row) -> None:
        super().enqueue(job)
        if job["state"] == "scheduled":
            self.later(PATIENCE, partial(self._hurry, job))

    def _hurry(self, job: Row) -> None:
        """Who waits for a job loses patience, unless the queue is paused."""
        if job["state"] == "scheduled" and not (job["_queue"] and job["_queue"]["dispatch_paused"]):
            self.reprioritize(job, job["priority"]["number"] + 1, job["_build"]["creator"])

    def reprioritize(self, job: Row, number: int, by: Row | None = None) -> None:
        """A job gets another priority. The queues here are first come, first served all the same."""
        changed = {"changed_priority_before_value": job["priority"]["number"], "changed_priority_after_value": number}
        self.note(job, "REPRIORITIZED", "USER" if by else "SYSTEM", by, **changed)
        job["priority"] = {"number": number}

    def change(self, job: Row, changes: Row) -> None:
        """A job changes itself while it runs: attribute -> [before, after]."""
        if job["state"] == "running":
            self.note(job, "CHANGED", "AGENT", job["agent"], changed_changes=changes)

    def upload_steps(self, job: Row, added: Iterable[Step]) -> None:
        """A job uploads steps. Their jobs are there already: a build is made whole here. JSON is YAML, too."""
        keys = ("name", "key", "command", "type", "env")
        told = [{key: value for key in keys if (value := getattr(step, key))} for step in added]
        text = orjson.dumps({"steps": told}, default=dict).decode()
        uuid = str(uuid5(NAMESPACE_URL, f"{job['id']}/upload"))
        upload = {"uuid": uuid, "definition": {"json": text, "yaml": text}}
        self.note(job, "BUILD_STEP_UPLOAD_CREATED", "AGENT", job["agent"], build_step_upload=upload)

    def assign(self, job: Row, agent: Row) -> None:
        if _stacked(agent):
            self.note(job, "RESERVED", "STACK")
            self.note(job, "STACK_NOTIFICATION", "STACK", message=f"Pod {agent['name']} is starting")
        super().assign(job, agent)

    def start_job(self, job: Row) -> None:
        super().start_job(job)
        if job["_step"].takes > LONG:
            self.later(60, partial(self.change, job, {"timeout_in_minutes": [60, 300]}))

    def _closing_event(self, job: Row, end: End) -> None:
        if end.signal_reason == "agent_stop":
            self.note(job, "AGENT_STOPPED", "AGENT", job["agent"])
        if end.signal_reason == "stack_error":
            self.note(job, "STACK_ERRORED", "STACK", error_detail="The pod could not pull its image")
        super()._closing_event(job, end)
        if job["agent"] and _stacked(job["agent"]):
            self.note(job, "STACK_FINISHED", "STACK", detail=f"Pod {job['agent']['name']} is done")

    def close(self, job: Row, end: End) -> None:
        step = job["_step"]
        signed = [one for one in job["_build"]["_plan"] if one.signed]
        if signed and end.state == "passed" and job is job["_build"]["jobs"][0]:
            self.upload_steps(job, signed)
        if step and job["started_at"] and end.state in ("passed", "failed"):
            for path in step.artifacts:
                self.upload_artifact(job, path)
            if step.annotation:
                context, html = step.annotation
                self.annotate(job["_build"], context, html, "success" if end.state == "passed" else "error")
        super().close(job, end)

    # Annotations, artifacts

    def annotate(
        self,
        build: Row,
        context: str = "default",
        body: str = "<p>Done</p>",
        style: str | None = "info",
        *,
        job: Row | None = None,
        priority: int = 3,
    ) -> Row:
        """Annotate a build, or one of its jobs; the same context again replaces the body (api.md 4.6)."""
        rows = self.organization.annotations.setdefault(build["id"], [])
        scope = job["id"] if job else None
        for row in rows:
            if (row["context"], row["job_id"]) == (context, scope):
                row |= {"body_html": body, "style": style, "priority": priority, "updated_at": self.stamp()}
                return row
        row = bodies.annotation(self.uuid(), context, style, scope, body, self.stamp(), priority)
        rows.append(row)
        return row

    def delete_annotation(self, build: Row, annotation: Row) -> None:
        self.organization.annotations[build["id"]].remove(annotation)

    def upload_artifact(self, job: Row, path: str = "log/test.log", state: str = "finished") -> Row:
        """A job uploads a file; `state` may be new or error (api.md 4.7)."""
        size, sha1 = self.random.randrange(200, 5_000_000), f"{self.random.getrandbits(160):040x}"
        row = bodies.artifact(self.uuid(), job, path, size, sha1, self.stamp())
        row["state"] = state
        self.organization.artifacts.setdefault(job["_build"]["id"], []).append(row)
        return row

    def delete_artifact(self, artifact: Row) -> None:
        """Somebody deletes the file; its row says so for a day and then is gone."""
        artifact["state"] = "deleted"
        rows = self.organization.artifacts[artifact["_job"]["_build"]["id"]]
        self.later(86400, lambda: rows.remove(artifact) if artifact in rows else None)

    def expire_artifacts(self, build: Row) -> None:
        """Retention takes the build's files; the rows say so."""
        for row in self.organization.artifacts.get(build["id"], ()):
            row["state"] = "expired"

    def delete_log(self, job: Row, empty: bool = False) -> None:
        """Somebody deletes the log of a job: it is a 404 from now on, or empty (which of the two is not known)."""
        self.organization.logs.pop(job["id"], None)
        if empty:
            self.organization.logs[job["id"]] = bytes

    # Away

    def delete_build(self, build: Row) -> None:
        """The build is gone, with all that is below it; what was to happen to it happens to nobody."""
        pipeline, here = build["pipeline"], self.organization
        if not build["blocked"] and build["state"] in BUILDS_COUNTED:
            pipeline[BUILDS_COUNTED[build["state"]]] -= 1
        for job in build["jobs"]:
            here.logs.pop(job["id"], None)
            counter = COUNTED.get(job["state"]) if job["type"] == "script" else None
            if counter:
                pipeline[counter] -= 1
            self._forget(job)
        here.annotations.pop(build["id"], None)
        here.artifacts.pop(build["id"], None)
        here.builds.pop(build["id"])
        build["state"], build["_quiet"] = "canceled", True

    def _forget(self, job: Row) -> None:
        """Let go of what a job of a deleted build holds: its agent, its concurrency group."""
        if job["type"] != "script":
            return
        job["state"], job["_state"] = "canceled", None
        group = job.pop("_holds", None)
        if group is not None:
            group.holding -= 1
            self._next_of(group)
        agent = job["agent"]
        if agent is not None and agent["_job"] is job:
            self.later(0, partial(self._release, agent))

    def delete_pipeline(self, pipeline: Row) -> None:
        """The pipeline is gone, and its builds and schedules with it (api.md 7.6)."""
        here = self.organization
        for build in [one for one in here.builds.values() if one["pipeline"] is pipeline]:
            self.delete_build(build)
        for schedule in [one for one in here.schedules.values() if one["_pipeline"] is pipeline]:
            del here.schedules[schedule["id"]]
        for team in here.teams.values():
            team["_pipelines"] = [one for one in team["_pipelines"] if one["_pipeline"] is not pipeline]
        del here.pipelines[pipeline["id"]]


def _stacked(agent: Row) -> bool:
    """Whether a stack made the agent for its job: those of a cluster queue that makes them when needed."""
    return bool(agent["_pool"].elastic and agent["_pool"].queue)
