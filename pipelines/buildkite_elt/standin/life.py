"""What happens in an organization: builds begin, end, are tried again, blocked, canceled, and go away."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from . import bodies, volume
from .course import Course, settled
from .grounds import Grounds
from .plan import ENDS, End, Plan, Step, plain, steps
from .traces import Traces
from .work import ENDED, RUNNING
from .world import Row

ANYBODY: Row = {}
"""As a creator: somebody of the organization."""


class Life(Traces, Grounds, Course):
    """Every act takes and gives rows of the organization, happens at world.now(), and schedules what follows."""

    # Builds begin

    def build(
        self,
        pipeline: Row | str,
        jobs: int = 3,
        *,
        branch: str = "main",
        plan: Plan | None = None,
        takes: float = 300.0,
        state: str = "passed",
        commit: str | None = None,
        source: str = "ui",
        creator: Row | None = ANYBODY,
        creating: float = 0.0,
        **facts: Any,
    ) -> Row:
        """A build that begins now and goes its way as the clock moves on: `jobs` jobs for `takes` seconds, or a plan.

        `state` is what becomes of it without a plan: passed, failed, canceled, blocked, skipped, not_run, or running
        and scheduled, which stay. `creating`: seconds until its jobs may run. `facts` replace keys of the body.
        """
        if isinstance(pipeline, str):
            pipeline = self._named(pipeline)
        made = steps(plan) if plan is not None else plain(jobs, state, takes, self._queue_key(pipeline))
        build = self._row(pipeline, branch, commit, source, creator, facts | {"_plan": made})
        for step in made:
            self._add_step(build, step)
        if creating:
            build["state"], build["scheduled_at"] = "creating", self.stamp(creating)
            self.later(creating, partial(self.begin, build))
        elif state in ("skipped", "not_run"):
            self.not_run(build, state)
        else:
            self.begin(build)
        if state == "canceled":
            self.later(takes / 2, lambda: None if settled(build) else self.cancel(build))
        return build

    def _row(self, pipeline: Row, branch: str, commit: str | None, source: str, creator: Row | None, facts: Row) -> Row:
        number = pipeline["_next_build_number"]
        pipeline["_next_build_number"] += 1
        if creator is ANYBODY:
            members = [one["_user"] for one in self.organization.members.values()]
            creator = self.random.choice(members) if members else None
        commit = commit or f"{self.random.getrandbits(160):040x}"
        told = {"branch": branch, "commit": commit, "source": source, "creator": creator}
        told["message"] = f"Change {commit[:7]}"
        told["meta_data"] = {"buildkite:git:commit": f"commit {commit}\n\n    {told['message']}\n"}
        told["_source"] = {"type": source, "schedule_id": None, "trigger_job_id": None}
        build = bodies.build(self.uuid(), self.organization.slug, pipeline, number, self.stamp(), told | facts)
        self.organization.builds[build["id"]] = build
        pipeline["scheduled_builds_count"] += 1
        env = {**(pipeline["env"] or {}), **build["env"]}
        build["_job_env"] = [
            *("CI=true", "BUILDKITE=true", f"BUILDKITE_BRANCH={branch}", f"BUILDKITE_COMMIT={build['commit']}"),
            *(f"{key}={value}" for key, value in env.items()),
        ]
        return build

    def _named(self, slug: str) -> Row:
        found = self.organization.pipeline(slug)
        if found is None:
            raise KeyError(f"no pipeline {slug} in {self.organization.slug}")
        return found

    def _queue_key(self, pipeline: Row) -> str | None:
        """The queue that the pipeline's own first step asks for, else default."""
        return next((step.queue for step in pipeline["_plan"] if step.type == "script"), "default")

    def queue_of(self, pipeline: Row, key: str | None) -> Row | None:
        """The queue of the pipeline's cluster with this key (None: its default queue); None if it is unclustered."""
        cluster = pipeline["_cluster"]
        if cluster is None:
            return None
        if key is None:
            return self.organization.queues[cluster["default_queue_id"]]
        for queue in self.organization.queues.values():
            if queue["key"] == key and queue["_cluster"] is cluster:
                return queue
        raise KeyError(f"no queue {key} in cluster {cluster['name']}")

    def _add_step(self, build: Row, step: Step) -> None:
        """Make a step's jobs, in the stage that the gates before it began."""
        stages = build["_stages"]
        if not stages or step.type in ("manual", "waiter"):
            stages.append({"gate": None, "jobs": [], "left": 0})
        stage = stages[-1]
        if step.type in ("manual", "waiter"):
            gate = bodies.waiter(self.uuid(), build, step.key)
            if step.type == "manual":
                gate = bodies.manual(self.uuid(), build, step.name or "Continue?", step.key)
                gate |= {"state": "waiting", "unblockable": False}
            stage["gate"] = gate
            made = [gate]
        elif step.type == "trigger":
            made = [bodies.trigger(self.uuid(), build, self.stamp(), step.name, step.key, step.later)]
        else:
            made = self._scripts(build, step)
        behind = "blocked" if stage["gate"] and stage["gate"]["type"] == "manual" else "waiting"
        for job in made:
            job["_step"], job["_stage"] = step, len(stages) - 1
            build["jobs"].append(job)
            if step.type in ("script", "trigger"):
                stage["jobs"].append(job)
                job["state"] = behind
                build["pipeline"]["waiting_jobs_count"] += step.type == "script"

    def _scripts(self, build: Row, step: Step) -> list[Row]:
        queue, one, made = self.queue_of(build["pipeline"], step.queue), self.uuid(), []
        rules = [f"queue={step.queue}"] if step.queue else []
        automatic = {"exit_status": "*", "limit": str(step.retry), "signal": "*", "signal_reason": "*"}
        for index, total, matrix in step.copies():
            job = bodies.script(self.uuid(), build, self.stamp(), queue, one)
            job |= {"name": step.name, "step_key": step.key, "group_key": step.group, "command": step.command}
            job |= {"parallel_group_index": index, "parallel_group_total": total, "matrix": matrix}
            job["agent_query_rules"] = list(rules)
            job["priority"] = {"number": step.priority}
            job["artifact_paths"] = ";".join(step.artifacts) or None
            job["_env"] = [*build["_job_env"], *(f"{key}={value}" for key, value in step.env.items())]
            if step.concurrency:
                job["_concurrency"] = {"group": step.concurrency[0], "limit": step.concurrency[1]}
            if step.retry:
                job["_retry_rules"] = {"manual": True, "automatic": [automatic]}
            if step.signed:
                fields = ["command", "env", "matrix", "plugins", "repository_url"]
                job["step"]["signature"] = {"value": f"sig..{one}", "algorithm": "EdDSA", "signed_fields": fields}
            made.append(job)
        return made

    def ready(self, job: Row) -> None:
        if job["type"] == "trigger":
            self.trigger(job)
        else:
            super().ready(job)

    def trigger(self, job: Row, **facts: Any) -> Row:
        """A trigger job starts its build in another pipeline; unless async, it ends when that build does."""
        parent, step = job["_build"], job["_step"]
        self.job_is(job, "running")
        job["runnable_at"] = job["started_at"] = self.stamp()
        self.began(parent)
        pipeline = self._named(step.pipeline)
        planner = pipeline.get("_planner")
        origin = {"build_id": parent["id"], "build_number": parent["number"]}
        facts = {
            "message": parent["message"],
            "triggered_from": origin | {"build_pipeline_slug": parent["pipeline"]["slug"]},
            "_source": {"type": "trigger_job", "schedule_id": None, "trigger_job_id": job["id"]},
            "_parent_job": None if step.later else job,
            "plan": (planner() if planner else pipeline["_plan"]) or None,
        } | facts
        build = self.build(pipeline, source="trigger_job", creator=parent["creator"], **facts)
        job["triggered_build"] = {key: build[key] for key in ("id", "number", "url", "web_url")}
        if step.later:
            self.end_trigger(job, "passed")
        return build

    def rebuild(self, build: Row, by: Row | None = None) -> Row:
        """The same again, as a new build that names its origin."""
        facts = {key: build[key] for key in ("message", "branch", "commit", "author", "tag", "env", "pull_request")}
        facts["rebuilt_from"] = bodies.reference(build)
        plan = build["_plan"] or None
        return self.build(build["pipeline"], plan=plan, creator=by or self.somebody(), **facts)

    def history(self, pipeline: Row, count: int, jobs: int, since: datetime, until: datetime) -> list[Row]:
        """`count` settled builds of `jobs` jobs each, created evenly from since to before until. Without events."""
        return volume.history(self, pipeline, count, jobs, since, until)

    def big_build(self, pipeline: Row, jobs: int = 4000, takes: float = 1800.0) -> Row:
        """A build whose many jobs all run from now; they pass together after `takes` seconds."""
        return volume.big_build(self, pipeline, jobs, takes)

    # Builds end

    def start(self, build: Row) -> None:
        """Whatever waits for an agent gets one and starts, now."""
        for job in list(build["jobs"]):
            if job["type"] == "script" and job["state"] in ("scheduled", "assigned", "accepted"):
                self._start_now(job)

    def _start_now(self, job: Row) -> None:
        if job["state"] in ("scheduled", "waiting", "blocked", "pending"):
            job["runnable_at"] = job["runnable_at"] or self.stamp()
            pool = self.pool_of(job)
            agent = self.free_agent(pool) or self._connect(pool, None, {})
            if agent in pool.free:
                pool.free.remove(agent)
            self.assign(job, agent)
        self.start_job(job)

    def finish_job(self, job: Row, state: str = "passed", **facts: Any) -> None:
        """A script job ends now, started or not; `state` is a word of plan.ENDS, facts say more (exit_status …)."""
        self._start_now(job)
        self.close(job, ENDS[state]._replace(**facts))

    def finish(self, build: Row, state: str = "passed") -> None:
        """The build ends now: open jobs pass, or (state failed) the last of them fails."""
        if settled(build):
            raise ValueError(f"build {build['number']} has ended")
        if state == "canceled":
            self.cancel(build)
            return
        build["_quiet"] = True
        opened = [job for job in build["jobs"] if job["type"] == "script" and job["state"] not in ENDED]
        for job in opened:
            self.finish_job(job, "failed" if state == "failed" and job is opened[-1] else "passed")
            if job["state"] == "failed":
                build["_bad"].add(job["id"])
        for job in build["jobs"]:
            if job["type"] == "manual" and job["state"] != "unblocked":
                self._unblocked(job, self.somebody())
            elif job["type"] != "script" and job["state"] not in ENDED | {"unblocked"}:
                self.job_is(job, "passed")
                job |= {"finished_at": self.stamp()} if job["type"] == "trigger" else {}
        del build["_quiet"]
        build["_stage"] = len(build["_stages"]) - 1
        self.settle(build, state)

    def cancel(self, build: Row, by: Row | None = None, reason: str | None = None) -> None:
        """The build is canceling while jobs run, then canceled; `by` None means automatically (api.md 5.8)."""
        if settled(build):
            raise ValueError(f"build {build['number']} has ended")
        self.build_is(build, "canceling")
        build["_canceled_at"], build["_canceled_by"], build["cancel_reason"] = self.stamp(), by, reason
        build["blocked_state"], build["finished_at"] = "", None
        for job in list(build["jobs"]):
            if job["type"] == "script" and job["state"] not in ENDED:
                self.stop_job(job, by)
            elif job["type"] != "script" and job["state"] in ("waiting", "blocked", "running"):
                self.job_is(job, "canceled")
                job |= {"finished_at": self.stamp()} if job["type"] == "trigger" else {}
        if not any(job["state"] in RUNNING for job in build["jobs"]):
            self.settle(build, "canceled")

    def cancel_job(self, job: Row, by: Row | None = None) -> None:
        """One script job is canceled; its build fails of it."""
        self.stop_job(job, by)

    def skip(self, build: Row) -> None:
        """A queued build is superseded by a newer one."""
        self.not_run(build, "skipped")

    def not_run(self, build: Row, state: str = "not_run") -> None:
        """A build of which nothing ran ends: its steps' conditions did not hold (or, skipped, it was superseded)."""
        build["_quiet"] = True
        for job in build["jobs"]:
            if job["type"] == "script":
                job["broken_reason"] = "if_condition_false" if state == "not_run" else None
                self.close(job, End("broken" if state == "not_run" else "skipped"))
            else:
                self.job_is(job, "skipped" if state == "skipped" else "broken")
        del build["_quiet"]
        self.settle(build, state)

    def retry(self, build: Row, job: Row, by: Row | None = None) -> Row:
        """Somebody retries a job that ended; a settled build runs again, days later, too. Returns the new job."""
        if job["retried"] or job["state"] not in ("failed", "timed_out", "canceled", "passed", "expired"):
            raise ValueError(f"job {job['id']} cannot be retried")
        if build["state"] in ("canceled", "canceling"):
            raise ValueError("jobs of a canceled build cannot be retried")
        build["_bad"].discard(job["id"])
        was_open = not settled(build) and not build["blocked"]
        if not was_open:
            self.reopen(build, job["_stage"])
        elif build["state"] == "failing" and not build["_bad"]:
            self.build_is(build, "running")
        new = self.again(job, by or self.somebody())
        if was_open and new["_stage"] != build["_stage"]:
            new["_stage"] = build["_stage"]
            build["_stages"][build["_stage"]]["jobs"].append(new)
        stage = build["_stages"][new["_stage"]]
        stage["left"] = stage["left"] + 1 if was_open else 1
        self.ready(new)
        return new

    def block(self, build: Row, state: str = "passed", label: str = "Release?") -> Row:
        """The build comes to a block step that was not planned, now, and keeps `state`; open jobs pass first."""
        if not settled(build):
            self.finish(build)
        step = Step(type="manual", name=label, blocked_state=state)
        self._add_step(build, step)
        gate: Row = build["_stages"][-1]["gate"]
        build["_stage"] = len(build["_stages"]) - 1
        self.hold(build, gate)
        return gate

    def unblock(self, build: Row, job: Row | None = None, by: Row | None = None) -> None:
        """Somebody lets a blocked build go on: it runs again, and says no finished_at."""
        gate = job or next(one for one in build["jobs"] if one["type"] == "manual" and one["unblockable"])
        if not build["blocked"]:
            raise ValueError(f"build {build['number']} is not blocked")
        self._unblocked(gate, by or self.somebody())
        self.build_is(build, "running")
        build["finished_at"], build["blocked_state"], build["_blocked_state"] = None, "", None
        self.enter(build, gate["_stage"])

    def _unblocked(self, gate: Row, by: Row | None) -> None:
        gate |= {"state": "unblocked", "unblockable": False, "unblocked_by": by, "unblocked_at": self.stamp()}
