"""What an organization has before anything runs: people, teams, clusters, queues, pipelines, schedules, tokens."""

from __future__ import annotations

from typing import Any

from . import people, places
from .bodies import place_artifact, place_build
from .plan import Plan, Step, steps
from .work import Work
from .world import HOST, Row


class Grounds(Work):
    """The making and changing of what builds stand on."""

    def somebody(self) -> Row | None:
        """The first member, who does what nobody is named for."""
        return next((one["_user"] for one in self.organization.members.values()), None)

    def user(self, name: str, email: str | None = None, role: str = "member", sso: str = "required") -> Row:
        """A user, a member of this organization."""
        email = email or f"{name.lower().replace(' ', '.')}@acme.example"
        user = people.user(self.uuid(), name, email, self.stamp())
        self.world.users[user["id"]] = user
        return self.join(user, role, sso)

    def join(self, user: Row, role: str = "member", sso: str = "required") -> Row:
        """Make an existing user a member; returns the user."""
        made = people.member(user, self.uuid(), role, sso, self.stamp(), self.stamp())
        self.organization.members[user["id"]] = made
        return user

    def team(self, name: str, **facts: Any) -> Row:
        slug = name.lower().replace(" ", "-")
        row = people.team(self.uuid(), name, slug, self.stamp(), self.somebody() or {}, facts)
        self.organization.teams[row["id"]] = row
        return row

    def team_has(self, team: Row, thing: Row, how: str) -> None:
        """Put a user (how: member, maintainer) or a pipeline (how: read_only, build_and_read …) into a team."""
        if "email" in thing:
            team["_members"].append(people.team_member(self.uuid(), thing, how, self.stamp()))
        else:
            team["_pipelines"].append(people.team_pipeline(self.uuid(), thing, how, self.stamp()))

    def team_suite(self, team: Row, slug: str, *levels: str) -> None:
        url = f"{HOST}/analytics/organizations/{self.organization.slug}/suites/{slug}"
        team["_suites"].append(people.team_suite(self.uuid(), self.uuid(), url, list(levels), self.stamp()))

    def cluster(self, name: str, **facts: Any) -> Row:
        """A cluster, with a queue `default` that is its default queue."""
        slug, by = self.organization.slug, self.somebody()
        row = places.cluster(self.uuid(), slug, name, self.stamp(), by, facts)
        self.organization.clusters[row["id"]] = row
        first = self.queue(row, "default")
        row["default_queue_id"], row["default_queue_url"] = first["id"], first["url"]
        return row

    def queue(self, cluster: Row, key: str, **facts: Any) -> Row:
        row = places.queue(self.uuid(), cluster, key, self.stamp(), self.somebody(), facts)
        self.organization.queues[row["id"]] = row
        return row

    def cluster_token(self, cluster: Row, description: str, expires: str | None = None) -> Row:
        row = places.cluster_token(self.uuid(), cluster, description, self.stamp(), self.somebody(), expires)
        self.organization.cluster_tokens[row["id"]] = row
        return row

    def maintainer(self, cluster: Row, actor: Row) -> Row:
        """A user or a team becomes a maintainer of the cluster."""
        kind = "user" if "email" in actor else "team"
        row = places.maintainer(self.uuid(), cluster, actor, kind)
        self.organization.cluster_maintainers[row["id"]] = row
        cluster["maintainers"][kind + "s"].append(actor)
        return row

    def pause_queue(self, queue: Row, by: Row | None = None, note: str | None = None) -> None:
        """No job of the queue is given to an agent until it is resumed."""
        queue["dispatch_paused"], queue["dispatch_paused_at"] = True, self.stamp()
        queue["dispatch_paused_by"], queue["dispatch_paused_note"] = by or self.somebody(), note

    def resume_queue(self, queue: Row) -> None:
        queue["dispatch_paused"] = False
        queue["dispatch_paused_at"] = queue["dispatch_paused_by"] = queue["dispatch_paused_note"] = None
        self.dispatch(self.pool(queue))

    def pause_agent(self, agent: Row, by: Row | None = None, note: str = "Maintenance", minutes: int = 5) -> None:
        agent |= {"paused": True, "paused_at": self.stamp(), "paused_by": by or self.somebody()}
        agent |= {"paused_note": note, "paused_timeout_in_minutes": minutes}
        if agent in agent["_pool"].free:
            agent["_pool"].free.remove(agent)

    # Pipelines

    def pipeline(self, slug: str, *, cluster: Row | None = None, plan: Plan = (), **facts: Any) -> Row:
        """A pipeline; its `steps` and `configuration` are those of the plan. Without a cluster it is unclustered."""
        made = steps(plan)
        facts = {"configuration": configuration(made), "steps": [told(step) for step in made]} | facts
        facts = {"created_by": self.somebody()} | facts
        name = self.organization.slug
        row = places.pipeline(self.uuid(), name, slug, self.stamp(), None, cluster, facts)
        row["_plan"] = made
        self.organization.pipelines[row["id"]] = row
        return row

    def rename_pipeline(self, pipeline: Row, slug: str, name: str | None = None) -> None:
        """A new slug: its URLs, and those of everything below it, and where others point to it, follow."""
        pipeline["slug"], pipeline["name"] = slug, name or slug.replace("-", " ").capitalize()
        places.place_pipeline(pipeline)
        for schedule in self.organization.schedules.values():
            places.place_schedule(schedule)
        for team in self.organization.teams.values():
            for one in team["_pipelines"]:
                one["pipeline_url"] = one["_pipeline"]["url"]
        moved: dict[str, Row] = {}
        for build in self.organization.builds.values():
            if build["pipeline"] is pipeline:
                place_build(build)
                moved[build["id"]] = build
                for artifact in self.organization.artifacts.get(build["id"], ()):
                    place_artifact(artifact)
        for other in self.organization.builds.values():
            self._point(other, moved)
        for agent in self.organization.agents.values():
            if agent["_job"] is not None:
                self.busy_with(agent, agent["_job"])

    def _point(self, build: Row, moved: dict[str, Row]) -> None:
        """Correct what a build says of builds whose pipeline was renamed."""
        source = build["rebuilt_from"]
        if source and source["id"] in moved:
            source["url"] = moved[source["id"]]["url"]
        parent = build["triggered_from"]
        if parent and parent["build_id"] in moved:
            parent["build_pipeline_slug"] = moved[parent["build_id"]]["pipeline"]["slug"]
        for job in build["jobs"]:
            child = job["triggered_build"] if job["type"] == "trigger" else None
            if child and child["id"] in moved:
                child |= {key: moved[child["id"]][key] for key in ("url", "web_url")}

    def archive_pipeline(self, pipeline: Row, by: Row | None = None) -> None:
        pipeline["archived_at"], pipeline["_archived_by"] = self.stamp(), by or self.somebody()

    def schedule(self, pipeline: Row, **facts: Any) -> Row:
        """A schedule's row; who makes its builds is the caller (demo.py)."""
        row = places.schedule(self.uuid(), pipeline, self.stamp(), self.somebody(), facts)
        self.organization.schedules[row["id"]] = row
        return row


def told(step: Step) -> Row:
    """A step as a pipeline's `steps` tell it (api.md 4.8)."""
    if step.type in ("manual", "waiter"):
        return {"type": step.type, "label": step.name}
    if step.type == "trigger":
        build: Row = {"message": None, "commit": "HEAD", "branch": "main", "env": {}, "meta_data": {}}
        return {"type": "trigger", "label": step.name, "pipeline": step.pipeline, "build": build, "async": step.later}
    return {
        "type": "script",
        "name": step.name,
        "command": step.command,
        "artifact_paths": ";".join(step.artifacts) or None,
        "branch_configuration": None,
        "env": dict(step.env),
        "timeout_in_minutes": max(5, round(step.takes / 20)),
        "agent_query_rules": [f"queue={step.queue}"] if step.queue else [],
        "concurrency": step.concurrency[1] if step.concurrency else None,
        "parallelism": step.parallelism or None,
    }


def configuration(plan: tuple[Step, ...]) -> str:
    """The plan as pipeline YAML, as far as names go."""
    lines = ["steps:"]
    for step in plan:
        if step.type == "waiter":
            lines.append("  - wait")
        elif step.type == "manual":
            lines.append(f'  - block: "{step.name}"')
        elif step.type == "trigger":
            lines.append(f'  - trigger: "{step.pipeline}"')
        else:
            lines += [f'  - label: "{step.name}"', f'    command: "{step.command}"']
    return "\n".join(lines if len(lines) > 1 else ["steps: []"]) + "\n"
