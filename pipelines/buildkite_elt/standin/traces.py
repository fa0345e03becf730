"""What builds leave behind, annotations and artifacts, and what takes builds and pipelines away."""

from __future__ import annotations

from functools import partial

from . import bodies
from .plan import End
from .work import BUILDS_COUNTED, COUNTED, Work
from .world import Row


class Traces(Work):
    """Both stores of the organization are by build id."""

    def close(self, job: Row, end: End) -> None:
        step = job["_step"]
        if step and job["started_at"] and end.state in ("passed", "failed"):
            for path in step.artifacts:
                self.upload_artifact(job, path)
            if step.annotation:
                context, html = step.annotation
                self.annotate(job["_build"], context, html, "success" if end.state == "passed" else "error")
        super().close(job, end)

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
