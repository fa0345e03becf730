"""The days of the demo: what arrives when, and what people do about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from .answer import iso
from .cast import MESSAGES, SECRET, Moment, Part, weight
from .course import settled
from .life import Life
from .plan import Step
from .work import ENDED
from .world import Row

DAY = timedelta(days=1)
WEEKDAY = sum(weight(datetime(2026, 9, 30, hour)) for hour in range(24))  # noqa: DTZ001


@dataclass
class Days:
    """`per_day` builds come on a weekday; steps are slow from `slow`, main is red within `red`."""

    life: Life
    parts: list[tuple[Part, Row]]
    per_day: float
    slow: datetime
    red: tuple[datetime, datetime]

    def day(self, start: datetime) -> None:
        """Let a day's builds arrive, and the next day begin when it is over; so there is always more to come."""
        world, random = self.life.world, self.life.random
        hours = [start + timedelta(hours=hour) for hour in range(24)]
        weights = [weight(hour) for hour in hours]
        total = sum(part.share for part, _ in self.parts)
        for part, pipeline in self.parts:
            expected = self.per_day * part.share / total * sum(weights) / WEEKDAY
            for _ in range(int(expected + random.random())):
                when = random.choices(hours, weights)[0] + timedelta(seconds=random.uniform(0, 3600))
                if when >= world.now():
                    world.at(when, partial(self.arrive, part, pipeline))
            if part.nightly:
                world.at(start + timedelta(hours=2), partial(self.nightly, part, pipeline))
            self.measure(pipeline)
        world.at(start + DAY, partial(self.day, start + DAY))

    def moment(self, branch: str) -> Moment:
        now = self.life.world.now()
        red = branch == "main" and self.red[0] <= now < self.red[1]
        return Moment(self.life.random, branch, red, now >= self.slow)

    def gone(self, pipeline: Row) -> bool:
        return pipeline["archived_at"] is not None or pipeline["id"] not in self.life.organization.pipelines

    def arrive(self, part: Part, pipeline: Row) -> None:
        """Somebody pushes, or presses a button."""
        if self.gone(pipeline):
            return
        life, random = self.life, self.life.random
        chance = random.random()
        branch = "main" if chance < 0.55 else f"feature/{random.choice(('cart', 'search', 'gifts'))}-{part.slug[:3]}"
        if chance > 0.96:
            branch = f"gh-readonly-queue/main/pr-{random.randrange(100, 999)}"
        facts = self.facts(pipeline, branch)
        state = "skipped" if random.random() < 0.02 else "not_run" if random.random() < 0.02 else "passed"
        plan = part.plan(self.moment(branch))
        build = life.build(pipeline, plan=plan, branch=branch, state=state, **facts)
        self.follow(build)

    def facts(self, pipeline: Row, branch: str) -> dict[str, Any]:
        """What a build is told when it begins; every shape that the API knows (api.md 4.3)."""
        life, random = self.life, self.life.random
        members = [one["_user"] for one in life.organization.members.values()]
        who, source = random.choice(members), random.choices(("webhook", "ui", "api"), (80, 12, 8))[0]
        commit = "HEAD" if source == "ui" and random.random() < 0.3 else f"{random.getrandbits(160):040x}"
        number = pipeline["_next_build_number"]
        author = {"username": who["name"].split()[0].lower(), "name": who["name"], "email": who["email"]}
        facts: dict[str, Any] = {
            "source": source,
            "commit": commit,
            "message": None if random.random() < 0.03 else random.choice(MESSAGES),
            "author": random.choices((author, who["email"], None), (60, 15, 25))[0],
            "creator": None if source == "webhook" and random.random() < 0.15 else who,
            "meta_data": {
                "buildkite:git:commit": f"commit {commit}\nAuthor: {who['name']}",
                f"run:{pipeline['slug']}:{number}": "yes",
            },
        }
        if branch.startswith("gh-readonly"):
            facts["merge_queue"] = {"base_branch": "main", "base_commit": f"{random.getrandbits(160):040x}"}
        elif branch != "main":
            labels = random.choice(([], ["ci:full"], ["dependencies", "security"]))
            request = {"id": str(random.randrange(1, 4000)), "base": "main", "repository": pipeline["repository"]}
            facts["pull_request"] = request | {"labels": labels}
        elif random.random() < 0.5:
            facts["pull_request"] = {}
        if random.random() < 0.05:
            facts["tag"] = f"v1.{number}.0"
        if source == "api":
            facts["env"] = {"DEPLOY_KEY": SECRET, "DEBUG": "1"}
        return facts

    def follow(self, build: Row) -> None:
        """What people will do about a build: cancel it, unblock it, try it again soon or days later."""
        life, random = self.life, self.life.random
        if random.random() < 0.03:
            by, reason = (life.somebody(), "Wrong branch") if random.random() < 0.6 else (None, "A newer build began")
            life.later(random.uniform(20, 150), lambda: None if settled(build) else life.cancel(build, by, reason))
        if any(job["type"] == "manual" for job in build["jobs"]):
            hours = random.uniform(0.3, 20) if random.random() < 0.85 else 60
            life.later(hours * 3600, partial(self.release, build))
        chance = random.random()
        if chance < 0.25:
            life.later(random.uniform(1500, 5000), partial(self.again, build))
        elif chance < 0.4:
            life.later(random.uniform(2.2, 4.5) * 86400, partial(self.again, build))
        elif chance < 0.43:
            life.later(7200, partial(self.rebuild, build))

    def someone(self) -> Row:
        row: Row = self.life.random.choice(list(self.life.organization.members.values()))["_user"]
        return row

    def alive(self, build: Row) -> bool:
        return build["id"] in self.life.organization.builds

    def release(self, build: Row) -> None:
        if build["blocked"] and self.alive(build):
            self.life.unblock(build, by=self.someone())

    def again(self, build: Row) -> None:
        """Retry the first job that failed, if the build did."""
        if build["state"] == "failed" and self.alive(build):
            bad = [job for job in build["jobs"] if job["id"] in build["_bad"] and not job.get("retried", True)]
            if bad and bad[0]["state"] in ENDED - {"broken", "skipped"}:
                self.life.retry(build, bad[0], self.someone())

    def rebuild(self, build: Row) -> None:
        if settled(build) and self.alive(build) and not self.gone(build["pipeline"]):
            self.life.rebuild(build, self.someone())

    def nightly(self, part: Part, pipeline: Row) -> None:
        """A schedule starts a build; nobody created it."""
        schedules = self.life.organization.schedules.values()
        schedule = next((one for one in schedules if one["_pipeline"] is pipeline and one["enabled"]), None)
        if schedule is None or self.gone(pipeline):
            return
        schedule["next_build_at"] = iso(self.life.world.now() + DAY)
        origin = {"type": "schedule", "schedule_id": schedule["id"], "trigger_job_id": None}
        plan: list[Step] = part.plan(self.moment("main"))
        facts = {"message": schedule["message"], "env": dict(schedule["env"]), "_source": origin}
        self.life.build(pipeline, plan=plan, source="schedule", creator=None, commit="HEAD", **facts)

    # What the dashboard and the queue page would show (api.md 5.2, 5.14)

    def measure(self, pipeline: Row) -> None:
        """Speed, Reliability and Builds of the default branch, as printed; null without builds."""
        now = self.life.world.now()
        month = [
            one
            for one in self.life.organization.builds.values()
            if one["pipeline"] is pipeline and one["branch"] == pipeline["default_branch"] and one["finished_at"]
        ]
        ended = [one for one in month if one["started_at"] and one["state"] in ("passed", "failed")][-30:]
        values: list[str | None] = [None, None, None]
        if ended:
            took = [_took(one) for one in ended]
            values[0] = f"{sum(took) / len(took) / 60:.1f}m"
            values[1] = f"{round(100 * sum(one['state'] == 'passed' for one in ended) / len(ended))}%"
            since = iso(now - timedelta(days=28))
            values[2] = f"{round(sum(one['created_at'] >= since for one in month) / 4)}/week"
        for metric, value in zip(pipeline["_metrics"], values, strict=True):
            metric["value"] = value

    def meter(self) -> None:
        """Every five minutes, what the queue page shows; null for queues that make their agents when needed."""
        now = self.life.world.now()
        for pool in self.life.floor.pools.values():
            if pool.queue is None or pool.elastic:
                continue
            runnable = [job["runnable_at"] for job in pool.waiting if job["state"] == "scheduled"]
            waits = sorted((now - datetime.fromisoformat(one)).total_seconds() for one in runnable) or [0.0]
            pool.queue["_metrics"] = {
                "timestamp": iso(now.replace(second=0, microsecond=0)),
                "connected_agents_count": sum(one["connection_state"] == "connected" for one in pool.agents),
                "running_jobs_count": sum(agent["_job"] is not None for agent in pool.agents),
                "waiting_jobs_count": len(runnable),
                "jobs_passed_count": pool.ended["passed"],
                "jobs_failed_count": pool.ended["failed"],
                "wait_time_sec": {
                    "min": waits[0],
                    "max": waits[-1],
                    "p50": waits[len(waits) // 2],
                    "p95": waits[len(waits) * 19 // 20],
                },
            }
            pool.ended.clear()
        self.life.later(300, self.meter)


def _took(build: Row) -> float:
    """Seconds from the first start of a job to the last end, apart from what people retried."""
    ran = [job for job in build["jobs"] if job["type"] == "script" and job["started_at"] and job["finished_at"]]
    ran = [job for job in ran if (job["retry_source"] or {}).get("retry_type") != "manual"]
    if not ran:
        return 0.0
    begin, end = min(job["started_at"] for job in ran), max(job["finished_at"] for job in ran)
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
