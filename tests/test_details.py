"""What only GraphQL tells of builds and jobs, asked one by one: every row and column as the world has it, then and
later, and nothing asked for that did not change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from buildkite_ci.choice import Choice
from buildkite_ci.times import instant
from buildkite_elt.standin import Organization, Standin
from buildkite_elt.standin.graphql_fields import SOURCES
from buildkite_elt.standin.graphql_lists import EVENTS, job_state
from buildkite_elt.standin.life import Life
from buildkite_elt.standin.webhooks import webhook
from faults import PLENTY
from lively import Row, ask, differ, eventful, heard, into, values

DETAILS = (
    *("job_events", "build_details", "job_details", "build_env", "build_webhooks", "annotations"),
    "schedule_builds",
)
EVERY = {"job_events": Choice(states=("all",))}

# The truth: the world's rows under the names of the columns.


def ended(organization: Organization) -> Iterator[tuple[Row, Row]]:
    """Each (build, job) of type script that has ended; what it says of both."""
    for build, job in organization.jobs():
        if job["type"] == "script" and job["finished_at"]:
            yield job, {"build_id": build["id"], "pipeline_id": build["pipeline"]["id"], **slug(build)}


def slug(build: Row) -> Row:
    return {"pipeline_slug": build["pipeline"]["slug"]}


def settled(organization: Organization) -> Iterator[Row]:
    states = ("passed", "failed", "canceled", "skipped", "not_run")
    return (one for one in organization.builds.values() if one["blocked"] or one["state"] in states)


SAID = ("exit_status", "signal", "signal_reason")


def job_events(organization: Organization) -> Iterator[Row]:
    for job, above in ended(organization):
        for one in job["_events"]:
            more = {key: value for key, value in one.items() if key not in ("uuid", "type", "timestamp", "actor")}
            agent, again = more.pop("assigned_agent", None), more.pop("retried_in_job", None)
            told = {name: more.pop(name, None) for name in SAID}
            if "build_step_upload" in more:
                more["build_step_upload"] = {"id": more["build_step_upload"]["uuid"]}
            yield {
                **above,
                **told,
                "id": one["uuid"],
                "job_id": job["id"],
                "type": one["type"],
                "kind": EVENTS.get(one["type"], "JobEventGeneric"),
                "timestamp": one["timestamp"],
                "actor_type": one["actor"]["type"],
                "actor_id": one["actor"]["uuid"],
                "assigned_agent_id": agent and agent["id"],
                "retried_in_job_id": again and again["id"],
                "detail": {key: value for key, value in more.items() if value is not None},
            }


def build_details(organization: Organization) -> Iterator[Row]:
    for build in settled(organization):
        by, author = build["creator"], build["author"] or {}
        canceled, again = build["_canceled_by"] or {}, build["rebuilt_from"] or {}
        kind = "User" if by else "UnregisteredUser" if author else None
        yield {
            **slug(build),
            "id": build["id"],
            "pipeline_id": build["pipeline"]["id"],
            "canceled_at": build["_canceled_at"],
            "canceled_by_id": canceled.get("id"),
            "cancel_reason": build["cancel_reason"],
            "blocked_state": build["_blocked_state"] and build["_blocked_state"].upper(),
            "failing_at": build["failing_at"],
            "created_by_type": kind,
            "created_by_id": by and by["id"],
            "created_by_name": None if by else author.get("name"),
            "created_by_email": None if by else author.get("email"),
            "source_type": SOURCES[build["source"]][0],
            "source_name": SOURCES[build["source"]][1],
            "schedule_id": build["_source"]["schedule_id"],
            "webhook_id": webhook(build, instant(build["created_at"]))["uuid"]
            if build["source"] == "webhook"
            else None,
            "triggered_from_job_id": build["_source"]["trigger_job_id"],
            "rebuilt_from_id": again.get("id"),
        }


def job_details(organization: Organization) -> Iterator[Row]:
    for job, above in ended(organization):
        limits = job["_concurrency"] or {}
        yield {
            **above,
            "id": job["id"],
            "graphql_state": job_state(job),
            "passed": job["state"] == "passed",
            "canceled_at": job["_canceled_at"],
            "concurrency_group": limits.get("group"),
            "concurrency_limit": limits.get("limit"),
            "retry_manual": job["_retry_rules"]["manual"],
            "retry_automatic": job["_retry_rules"]["automatic"],
            "matrix": job["matrix"],
        }


def build_env(organization: Organization) -> Iterator[Row]:
    for build in settled(organization):
        for name, value in build["env"].items():
            yield {"pipeline_id": build["pipeline"]["id"], "build_id": build["id"], "name": name, "value": value}


def build_webhooks(organization: Organization) -> Iterator[Row]:
    for build in organization.builds.values():
        if build["source"] == "webhook":
            told = webhook(build, instant(build["created_at"]))
            names = [line.partition(":")[0] for line in told["headers"]]
            above = {"pipeline_id": build["pipeline"]["id"], "build_id": build["id"], "webhook_id": told["uuid"]}
            yield above | {"header_names": names, "payload": told["payload"]}


def annotated(organization: Organization) -> Iterator[Row]:
    for build in settled(organization):
        for one in organization.annotations.get(build["id"], ()):
            yield one | {"build_id": build["id"], "pipeline_id": build["pipeline"]["id"], "gone_at": None}


def scheduled(organization: Organization) -> Iterator[Row]:
    for build in settled(organization):
        if build["source"] == "schedule":
            yield {
                **slug(build),
                "id": build["id"],
                "pipeline_id": build["pipeline"]["id"],
                "build_number": build["number"],
                "schedule_id": build["_source"]["schedule_id"],
                "source_name": SOURCES["schedule"][1],
            }


TRUTH = dict(
    zip(
        DETAILS,
        (job_events, build_details, job_details, build_env, build_webhooks, annotated, scheduled),
        strict=True,
    ),
)


def wrong(file: Path, organization: Organization) -> dict[str, list[str]]:
    """What each table says otherwise than the world."""
    here = {"annotations": "gone_at IS NULL"}
    found = {name: differ(file, name, truth(organization), here.get(name, "TRUE")) for name, truth in TRUTH.items()}
    return {name: told for name, told in found.items() if told}


def load(standin: Standin, file: Path, *tables: str) -> None:
    outcome = into(standin, file, *tables, choices=EVERY, show=("emails", "env"))
    assert (outcome.skipped, outcome.failed, outcome.waiting) == ({}, {}, {})


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Life, Standin, Path]]:
    """A world with everything in it, loaded once."""
    life, file = eventful(), tmp_path_factory.mktemp("details") / "buildkite.duckdb"
    with Standin(life.world, budgets=PLENTY) as standin:
        load(standin, file, "builds", *DETAILS)
        yield life, standin, file


def test_the_rows_are_those_of_the_world(scene: tuple[Life, Standin, Path]) -> None:
    life, _, file = scene
    assert wrong(file, life.organization) == {}
    kinds = {row[0] for row in ask(file, "SELECT DISTINCT kind FROM ci.job_events")}
    assert kinds == {*EVENTS.values(), "JobEventGeneric"}
    assert len(kinds) == 14
    assert ask(file, "SELECT count(*), count(more) FROM ci.job_events WHERE organization_slug <> 'acme'") == [(0, 0)]


def test_json_inside_json_is_read_once_more(scene: tuple[Life, Standin, Path]) -> None:
    """GraphQL writes JSON as text (api.md 5.0), so that DuckDB would find a string where an object is meant."""
    _, _, file = scene
    types = (
        "json_type(detail, '$.changed_changes.timeout_in_minutes') FROM ci.job_events WHERE kind = 'JobEventChanged'"
    )
    assert ask(file, f"SELECT {types}") == [("ARRAY",)]
    assert ask(file, "SELECT json_type(payload, '$.commits') FROM ci.build_webhooks") == [("ARRAY",)]
    assert {row[0] for row in ask(file, "SELECT json_type(matrix) FROM ci.job_details WHERE matrix IS NOT NULL")} == {
        "OBJECT"
    }


def test_events_join_jobs_and_agents(scene: tuple[Life, Standin, Path]) -> None:
    life, _, file = scene
    told = ask(
        file,
        "SELECT j.step_key, again.retries_count, e.detail ->> '$.automatic_rule.limit' FROM ci.job_events e "
        "JOIN ci.jobs j ON j.id = e.job_id JOIN ci.jobs again ON again.id = e.retried_in_job_id ORDER BY 1",
    )
    assert told == [("flake", 1, "1"), ("red", 1, "1")]
    ran = "FROM ci.job_events e JOIN ci.jobs j ON j.id = e.job_id WHERE e.type = 'ASSIGNED'"
    given = sum(job["agent"] is not None for job, _ in ended(life.organization))
    assert ask(file, f"SELECT count(*), count_if(e.assigned_agent_id = j.agent_id) {ran}") == [(given, given)]


def test_later_only_what_changed_is_asked_again(scene: tuple[Life, Standin, Path]) -> None:
    """An old job is retried, a blocked build goes on, another one is canceled; then nothing happens."""
    life, standin, file = scene
    bodies, acme = heard(standin), life.organization
    load(standin, file, *DETAILS)
    assert [body["query"][:40] for body in bodies] == []
    life.world.advance(timedelta(days=3))
    builds = list(acme.builds.values())
    life.cancel(next(one for one in builds if not one["finished_at"]), reason="Too long")
    old = next(job for job in builds[0]["jobs"] if job["state"] == "timed_out")
    new = life.retry(builds[0], old)
    life.unblock(next(one for one in builds if one["blocked"]))
    life.delete_annotation(builds[0], acme.annotations[builds[0]["id"]][0])
    life.annotate(builds[0], "again")
    life.world.advance(timedelta(hours=1))
    done = {row[0] for row in ask(file, "SELECT item_id FROM ci.errands WHERE table_name = 'job_events'")}
    load(standin, file, "builds", *DETAILS)
    assert (old["retried"], new["state"]) == (True, "timed_out")
    asked = values(bodies, "JobEvents", "job")
    assert len(asked) == len(set(asked))
    assert new["id"] in asked
    assert done & set(asked) == {old["id"]}
    assert {builds[0]["id"]} <= set(values(bodies, "BuildDetails", "build"))
    assert builds[5]["id"] not in values(bodies, "BuildDetails", "build")
    assert wrong(file, acme) == {}
    assert ask(file, "SELECT context FROM ci.annotations WHERE gone_at IS NOT NULL") == [("failures",)]
    del bodies[:]
    held = [ask(file, f"SELECT count(*) FROM ci.{name}") for name in DETAILS]
    load(standin, file, *DETAILS)
    assert (bodies, [ask(file, f"SELECT count(*) FROM ci.{name}") for name in DETAILS]) == ([], held)
