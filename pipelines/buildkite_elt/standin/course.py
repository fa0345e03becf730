"""How a build goes: stages parted by wait and block steps; its state follows from its jobs (api.md 7.1, 7.5)."""

from __future__ import annotations

from functools import partial

from . import bodies
from .plan import ENDS, End
from .work import ENDED, FAILED_WAITING, RUNNING, WAITING, Work
from .world import Row

SETTLED = frozenset({"passed", "failed", "canceled", "skipped", "not_run"})


def settled(build: Row) -> bool:
    """Whether nothing more is to come of itself."""
    return build["state"] in SETTLED and not build["blocked"]


class Course(Work):
    """A build's `_stages` are dicts: `gate` (the wait or block job before it, or None), `jobs`, `left` (open ones)."""

    def began(self, build: Row) -> None:
        if build["started_at"] is None or build.pop("_reopened", False):
            build["started_at"] = self.stamp()
        if build["state"] in ("creating", "scheduled"):
            self.build_is(build, "running")

    def begin(self, build: Row) -> None:
        """A build with its jobs made begins; not if it was canceled or skipped meanwhile."""
        if build["state"] in ("creating", "scheduled"):
            self.build_is(build, "scheduled")
            self.enter(build, 0)

    def enter(self, build: Row, index: int) -> None:
        """Come to a stage: stand before its block step, or let its jobs go."""
        build["_stage"] = index
        stage = build["_stages"][index]
        gate = stage["gate"]
        if gate is not None and gate["type"] == "manual" and gate["state"] != "unblocked":
            self.hold(build, gate)
            return
        if gate is not None and gate["type"] == "waiter":
            gate["state"] = "passed"
        jobs = [job for job in stage["jobs"] if job["state"] in WAITING]
        stage["left"] = sum(job["state"] not in ENDED for job in stage["jobs"])
        if not stage["left"]:
            self.over(build)
        for job in jobs:
            if gate is not None and gate["type"] == "manual" and job["type"] == "script":
                self.note(job, "UNBLOCKED", "USER", gate["unblocked_by"])
            self.ready(job)

    def hold(self, build: Row, gate: Row) -> None:
        """The build is blocked: it keeps a state, and says finished_at while it is (api.md 7.1)."""
        kept = gate["_step"].blocked_state if gate["_step"] else "passed"
        gate["state"], gate["unblockable"] = "blocked", True
        self.build_is(build, kept, blocked=True)
        build["started_at"] = build["started_at"] or self.stamp()
        build["finished_at"] = self.stamp()
        build["blocked_state"] = build["_blocked_state"] = kept

    def done(self, job: Row) -> None:
        """A job ended: it is tried again, or the build goes on without it."""
        build = job["_build"]
        if build.get("_quiet") or build["state"] == "canceling":
            return
        step = job["_step"]
        failed = job["state"] in ("failed", "timed_out")
        if failed and step and job["type"] == "script" and step.retry:
            if (job["retries_count"] or 0) < step.retry:
                self.again(job, None)
                return
            reason = f"The limit of {step.retry} automatic retries is reached"
            self.note(job, "RETRY_FAILED", retry_failed_reason=reason)
        stage = build["_stages"][job["_stage"]]
        stage["left"] -= 1
        if (failed and not job.get("soft_failed")) or job["state"] in ("canceled", "expired"):
            build["_bad"].add(job["id"])
            if stage["left"] and build["state"] in ("running", "scheduled"):
                self.build_is(build, "failing")
                build["failing_at"] = build["failing_at"] or self.stamp()
        if not stage["left"]:
            self.over(build)

    def over(self, build: Row) -> None:
        """The last job of a stage ended."""
        after = build["_stages"][build["_stage"] + 1 :]
        if build["_bad"]:
            for stage in after:
                for job in (*([stage["gate"]] if stage["gate"] else ()), *stage["jobs"]):
                    if job["state"] in FAILED_WAITING:
                        self.job_is(job, FAILED_WAITING[job["state"]])
            self.settle(build, "failed")
        elif after:
            self.enter(build, build["_stage"] + 1)
        else:
            scripts = [job["state"] for job in build["jobs"] if job["type"] == "script"]
            ran = not scripts or any(state not in ("broken", "skipped") for state in scripts)
            self.settle(build, "passed" if ran else "not_run")

    def settle(self, build: Row, state: str) -> None:
        """The build is finished, for now; a trigger job that waited for it ends with it."""
        self.build_is(build, state)
        build["finished_at"] = self.stamp()
        build["blocked_state"], build["_blocked_state"] = "", None
        if state == "failed":
            build["failing_at"] = build["failing_at"] or build["finished_at"]
        parent = build["_parent_job"]
        if parent is not None and parent["state"] == "running":
            self.end_trigger(parent, "passed" if state in ("passed", "not_run") else "failed")

    def end_trigger(self, job: Row, state: str) -> None:
        self.job_is(job, state)
        job["finished_at"] = self.stamp()
        self.done(job)

    # Again

    def again(self, job: Row, by: Row | None) -> Row:
        """A new attempt of a job: the old one keeps its result and points to it (api.md 7.5)."""
        build, old = job["_build"], job
        kind = "manual" if by else "automatic"
        new = bodies.script(self.uuid(), build, self.stamp(), old["_queue"], old["step"]["id"])
        for key in (
            *("name", "step_key", "group_key", "step", "priority", "agent_query_rules", "command", "artifact_paths"),
            *("scheduled_at", "parallel_group_index", "parallel_group_total", "matrix"),
            *("_concurrency", "_retry_rules", "_env", "_step", "_stage"),
        ):
            new[key] = old[key]
        new["retries_count"] = (old["retries_count"] or 0) + 1
        new["retry_source"] = {"job_id": old["id"], "retry_type": kind}
        old |= {"retried": True, "retried_in_job_id": new["id"], "retry_type": kind, "retried_by": by}
        rules = None if by else next(iter(old["_retry_rules"]["automatic"]), None)
        self.event(old, "RETRIED", "USER" if by else "SYSTEM", by, automatic_rule=rules, retried_in_job=new)
        build["jobs"].append(new)
        build["_stages"][old["_stage"]]["jobs"].append(new)
        new["state"] = "waiting"
        build["pipeline"]["waiting_jobs_count"] += 1
        if by is None:
            self.ready(new)
        return new

    def reopen(self, build: Row, stage: int) -> None:
        """A settled build runs again: finished_at goes, failing_at sticks, what failed with it waits again."""
        self.build_is(build, "running")
        build["finished_at"], build["_stage"], build["_reopened"] = None, stage, True
        build["blocked_state"], build["_blocked_state"] = "", None
        back = {failed: state for state, failed in FAILED_WAITING.items()}
        for job in build["jobs"]:
            if job["state"] in back:
                self.job_is(job, back[job["state"]])

    # Out

    def stop_job(self, job: Row, by: Row | None) -> None:
        """Somebody or something cancels a script job; one that runs is canceling for a while."""
        job["_canceled_at"] = self.stamp()
        self.event(job, "CANCELATION", "USER" if by else "SYSTEM", by)
        if job["state"] in ("running", "accepted", "assigned"):
            self.job_is(job, "canceling")
            self.later(self.random.uniform(2.0, 9.0), partial(self._stopped, job))
        else:
            self.close(job, End("canceled"))

    def _stopped(self, job: Row) -> None:
        if job["state"] != "canceling":
            return
        self.close(job, ENDS["canceled"] if job["started_at"] else End("canceled"))
        build = job["_build"]
        if build["state"] == "canceling" and not any(one["state"] in RUNNING for one in build["jobs"]):
            self.settle(build, "canceled")
