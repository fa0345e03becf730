"""The stand-in's server: tokens, scopes, budgets, and what is counted, over real HTTP."""

from __future__ import annotations

import time
from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from buildkite_elt.standin import Budgets, Organization, Standin, Token
from hand_made import START, USER, build, put, serving, uid, world

NONE = "00000000-0000-0000-0000-00000000ffff"


def numbers(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [one["number"] for one in response.json()]


def test_it_starts_and_stops_at_once() -> None:
    began = time.perf_counter()
    for _ in range(3):
        with Standin(world()) as standin:
            assert httpx.get(f"{standin.base}/").json()["timestamp"] == int(START.timestamp())
    assert time.perf_counter() - began < 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{standin.base}/")


def test_a_token_comes_as_bearer_or_not_at_all() -> None:
    with serving() as (standin, _):
        good = f"Bearer {standin.token}"
        for header in ({}, {"Authorization": f"Basic {standin.token}"}, {"Authorization": good + "x"}):
            answer = httpx.get(f"{standin.rest_url}/access-token", headers=header)
            assert answer.status_code == 401
            assert answer.json()["message"].startswith("Authentication required. Please supply a valid API Access Tok")
        assert httpx.get(f"{standin.rest_url}/access-token", headers={"Authorization": good}).status_code == 200
        assert httpx.get(f"{standin.rest_url}/meta").json() == {"webhook_ips": []}


def test_a_revoked_or_expired_token_is_refused() -> None:
    made = world(expires_at=START + timedelta(minutes=5))
    with serving(made) as (standin, get):
        assert get("/v2/user").status_code == 200
        standin.clock.move(300)
        assert get("/v2/user").status_code == 401
        made.tokens["first"].expires_at = None
        assert get("/v2/user").status_code == 200
        made.tokens["first"].revoked = True
        assert get("/v2/user").status_code == 401


def test_the_token_tells_of_itself_and_its_user() -> None:
    with serving() as (_, get):
        told = get("/v2/access-token").json()
        assert told["created_at"] == "2026-10-01 09:30:00 UTC"
        assert told["expires_at"] is None
        assert told["user"] == {"name": "Ada", "email": "ada@example.com"}
        assert "read_builds" in told["scopes"]
        assert get("/v2/user").json() == {"id": USER, "name": "Ada", "email": "ada@example.com"}


def test_every_answer_has_the_clocks_date_the_scopes_and_an_id() -> None:
    with serving() as (standin, get):
        standin.clock.move(61.7)
        for path in ("pipelines", "pipelines/none", "pipelines?per_page=101"):
            headers = get(path).headers
            assert parsedate_to_datetime(headers["Date"]) == START + timedelta(seconds=61)
            assert "read_pipelines" in headers["X-OAuth-Scopes"].split(", ")
            assert headers["X-Accepted-OAuth-Scopes"] == "read_pipelines"
            assert headers["X-Request-Id"]


def test_a_missing_scope_is_named() -> None:
    with serving(world(scopes=("read_builds",))) as (_, get):
        answer = get("pipelines")
        assert answer.status_code == 403
        assert answer.json() == {"message": "Your access token doesn't have the `read_pipelines` scope"}
        assert answer.headers["X-OAuth-Scopes"] == "read_builds"
        assert get("builds").status_code == 200


def test_what_is_missing_and_what_is_invisible_look_the_same() -> None:
    made = world(organizations=("acme",))
    made.organizations["other"] = Organization({"id": uid(3), "slug": "other"})
    with serving(made) as (_, get):
        hidden, missing = get("/v2/organizations/other/builds"), get("/v2/organizations/nobody/builds")
        assert hidden.status_code == missing.status_code == 404
        assert hidden.content == missing.content
        assert [one["slug"] for one in get("/v2/organizations").json()] == ["acme"]
        assert get("/v2/nowhere").json()["message"].startswith("No route matches")
        for path in ("pipelines/no", "pipelines/app/builds/1", "pipelines/app/builds/x", f"jobs/{NONE}", "agents/1"):
            assert get(path).status_code == 404, path


def test_private_facts_stay_private() -> None:
    made = world()
    put(made.organizations["acme"], build(next(iter(made.organizations["acme"].pipelines.values())), 1))
    with serving(made) as (_, get):
        assert "_" not in {key[0] for key in get("pipelines/app").json()}
        told = get("builds").json()[0]
        assert "_" not in {key[0] for key in [*told, *told["pipeline"]]}


# --- budgets ---


def test_both_buckets_are_on_every_answer_and_refuse_when_spent() -> None:
    with serving(budgets=Budgets(rest=5, rest_user=3)) as (standin, get):
        for left in (2, 1, 0):
            headers = get("emojis").headers
            assert (headers["RateLimit-Remaining"], headers["RateLimit-User-Remaining"]) == (str(left + 2), str(left))
            assert ("RateLimit-User-Warning" in headers) == (left == 0)
        assert (headers["RateLimit-Scope"], headers["RateLimit-User-Scope"]) == ("rest", "rest_user")
        refused = get("emojis")
        assert refused.status_code == 429
        assert refused.json() == {
            "message": "You have exceeded your API rate limit. Please wait 60 seconds before making more requests.",
            "scope": "rest_user",
            "limit": 3,
            "current": 4,
            "reset": 60,
        }
        assert "Retry-After" not in refused.headers
        assert standin.count().refused == 1
        standin.clock.move(59)
        assert get("emojis").json()["reset"] == 1
        standin.clock.move(1)
        assert get("emojis").status_code == 200


def test_tokens_of_one_user_share_its_bucket_and_users_share_the_organizations() -> None:
    made = world()
    made.tokens["second"] = Token("bkua_" + "b" * 40, USER)
    made.tokens["third"] = Token("bkua_" + "c" * 40, uid(9))
    made.users[uid(9)] = {"id": uid(9), "name": "Bo", "email": None}
    with serving(made, budgets=Budgets(rest=4, rest_user=3)) as (_, get):
        asked = [get("emojis", headers={"Authorization": f"Bearer {one.value}"}) for one in made.tokens.values()]
        assert [one.headers["RateLimit-User-Remaining"] for one in asked] == ["2", "1", "2"]
        assert [one.headers["RateLimit-Remaining"] for one in asked] == ["3", "2", "1"]
        third = {"Authorization": "Bearer " + made.tokens["third"].value}
        assert get("/v2/user", headers=third).status_code == 200
        assert get("/v2/user", headers=third).json()["scope"] == "rest"


def test_budgets_that_are_not_enforced_only_count() -> None:
    with serving(budgets=Budgets(rest=5, rest_user=1, enforced=False)) as (standin, get):
        assert [get("emojis").status_code for _ in range(3)] == [200, 200, 200]
        told = get("rate_limit").json()["scopes"]
        assert told["rest"] == {
            "limit": 5,
            "current": 4,
            "reset": 60,
            "reset_at": "2026-10-01T09:31:00Z",
            "enforced": False,
        }
        assert set(told) == {"rest", "graphql"}
        standin.clear()
        assert standin.count().requests == 0
        assert get("rate_limit").json()["scopes"]["rest"]["current"] == 1


# --- writing, watching, bugs ---


def test_writes_are_refused_and_counted() -> None:
    with serving() as (standin, get):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = get("pipelines/app", method=method)
            assert answer.status_code == 405
            assert "RateLimit-Remaining" in answer.headers
            assert isinstance(answer.json()["message"], str)
        assert get("pipelines/app", method="HEAD").status_code == 200
        assert get("/v1", method="DELETE").status_code == 405
        assert standin.count().writes == 5
        assert standin.count("graphql").writes == 1
        assert [one.write for one in standin.seen] == [True, True, True, True, False, True]


def test_everything_seen_is_counted() -> None:
    with serving() as (standin, get):
        size = len(get("pipelines?name=a&name=b").content) + len(get("emojis?").content)
        counts = standin.count()
        assert (counts.requests, counts.bytes, counts.points, counts.refused, counts.writes) == (2, size, 0, 0, 0)
        assert standin.count(since=1).requests == 1
        first = standin.seen[0]
        assert (first.path, first.status, first.user) == ("/v2/organizations/acme/pipelines", 400, USER)
        assert first.params == {"name": ["a", "b"]}


def test_graphql_is_refused_like_graphql() -> None:
    made = world(scopes=("read_builds",))
    with serving(made) as (standin, get):
        ask = {"method": "POST", "json": {"query": "{ viewer { id } }"}}
        assert httpx.post(standin.graphql_url, json={}).json()["errors"][0]["message"].startswith("Authentication req")
        refused = get("/v1", **ask)
        assert (refused.status_code, "graphql" in refused.json()["errors"][0]["message"]) == (403, True)
        made.tokens["first"].scopes = ("graphql",)
        assert get("/v1", method="POST", content=b"{").status_code == 400
        assert standin.seen[1].document == "{ viewer { id } }"


def test_graphql_pays_in_points_and_is_refused_when_they_are_spent() -> None:
    query = '{ organization(slug: "acme") { pipelines(first: 10) { edges { node { slug } } } } }'
    with serving(budgets=Budgets(graphql_user=8)) as (standin, get):
        first = get("/v1", method="POST", json={"query": query}, headers={"Buildkite-Include-Query-Stats": "true"})
        assert first.json()["stats"] == {"requestedComplexity": 13, "actualComplexity": 4}
        assert first.headers["RateLimit-Complexity-Requested"] == "13"
        assert first.headers["RateLimit-Complexity-Actual"] == "4"
        assert first.headers["RateLimit-User-Remaining"] == "4"
        assert "stats" not in get("/v1", method="POST", json={"query": query}).json()
        refused = get("/v1", method="POST", json={"query": query})
        assert refused.status_code == 429
        assert "per-user limit of 8 complexity points" in refused.json()["errors"][0]["message"]
        assert "Retry-After" not in refused.headers
        assert (standin.count().points, standin.count("graphql").refused) == (8, 1)
        assert get("rate_limit").json()["scopes"]["graphql"]["current"] == 8
        standin.clock.move(300)
        assert get("/v1", method="POST", json={"query": query}).status_code == 200


def test_a_mutation_is_a_write_even_where_it_is_refused() -> None:
    payload = {"query": "mutation Gone { pipelineDelete(input: {id: 1}) { clientMutationId } }"}
    with serving() as (standin, get):
        assert get("/v1", method="POST", json=payload).json()["errors"]
        assert httpx.post(standin.graphql_url, json=payload).status_code == 401
        assert [one.write for one in standin.seen] == [True, True]


def test_a_bug_shows_when_the_stand_in_stops() -> None:
    made = world()
    with pytest.raises(KeyError, match="name"), serving(made) as (_, get):  # noqa: PT012 (it raises on leaving)
        del next(iter(made.organizations["acme"].pipelines.values()))["name"]
        assert get("pipelines").status_code == 500


def test_the_world_moves_when_somebody_looks() -> None:
    made = world()
    acme = made.organizations["acme"]
    app = next(iter(acme.pipelines.values()))
    made.at(START + timedelta(seconds=10), lambda: put(acme, build(app, 1)))
    with serving(made) as (standin, get):
        assert numbers(get("builds")) == []
        standin.clock.move(10)
        assert numbers(get("builds")) == [1]
