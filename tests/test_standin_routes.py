"""What the stand-in's REST routes answer: pages, builds and their filters, jobs, logs, over real HTTP."""

from __future__ import annotations

import httpx
import pytest

from buildkite_elt.standin import Budgets, Organization, World
from hand_made import USER, at, build, job, pipeline, put, serving, uid, world

NONE = "00000000-0000-0000-0000-00000000ffff"


def numbers(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [one["number"] for one in response.json()]


# --- pages ---


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
def test_pages_hold_everything_once_at_every_size(count: int) -> None:
    made = world()
    acme = made.organizations["acme"]
    acme.pipelines.clear()
    acme.pipelines.update({uid(n + 50): pipeline(f"p{n}", id=uid(n + 50)) for n in range(count)})
    with serving(made) as (standin, get):
        url, slugs, pages = f"{standin.rest_url}/organizations/acme/pipelines?per_page=3", [], 0
        while url:
            answer = get(url.removeprefix(standin.base))
            slugs += [one["slug"] for one in answer.json()]
            pages += 1
            url = answer.links.get("next", {}).get("url", "")
            assert url.startswith((standin.rest_url, ""))
        assert slugs == [f"p{n}" for n in range(count)]
        assert pages == max(-(-count // 3), 1)


def test_the_link_header_names_its_four_neighbours_and_keeps_the_filters() -> None:
    made = world()
    acme = made.organizations["acme"]
    acme.pipelines.update({uid(n + 50): pipeline(f"p{n}", id=uid(n + 50)) for n in range(5)})
    with serving(made) as (standin, get):
        links = get("pipelines?name=p&per_page=2&page=2").links
        assert list(links) == ["first", "prev", "next", "last"]
        for rel, page in {"first": 1, "prev": 1, "next": 3, "last": 3}.items():
            wanted = f"{standin.rest_url}/organizations/acme/pipelines?name=p&page={page}&per_page=2"
            assert links[rel]["url"] == wanted
        assert list(get("pipelines?name=p&per_page=2&page=3").links) == ["first", "prev"]
        assert get("pipelines?page=99").json() == []
        assert "Link" not in get("pipelines").headers


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=-1", "per_page=0", "per_page=101", "page=1&page=2"])
def test_a_page_that_is_no_page_is_refused(query: str) -> None:
    with serving() as (_, get):
        assert get(f"pipelines?{query}").status_code == 400


@pytest.mark.parametrize("path", ["builds", "pipelines/app/builds", "/v2/builds"])
def test_builds_end_at_a_depth(path: str) -> None:
    with serving(budgets=Budgets(deep=100)) as (_, get):
        assert get(f"{path}?page=2&per_page=50").status_code == 200
        deep = get(f"{path}?page=3&per_page=50")
        assert deep.status_code == 400
        assert deep.json()["message"].startswith("Listing builds this deep is not supported.")
        assert get("pipelines?page=3&per_page=50").status_code == 200


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_jobs_come_by_cursor(count: int) -> None:
    made = world()
    acme = made.organizations["acme"]
    app = next(iter(acme.pipelines.values()))
    put(acme, build(app, 1, jobs=[job(n + 100) for n in range(count)]))
    with serving(made) as (standin, get):
        url, ids = "/v2/organizations/acme/pipelines/app/builds/1/jobs?per_page=2", []
        while url:
            body = get(url).json()
            assert body["links"]["self"] == standin.base + url
            ids += [one["id"] for one in body["items"]]
            url = body["links"].get("next", "").removeprefix(standin.base)
        assert ids == [uid(n + 100) for n in range(count)]
        if count == 5:
            middle = get("pipelines/app/builds/1/jobs?per_page=2").json()["links"]["next"].split("after=")[1]
            assert [one["id"] for one in get(f"pipelines/app/builds/1/jobs?before={middle}").json()["items"]] == ids[:1]
        assert get("pipelines/app/builds/1/jobs?after=nonsense").status_code == 400


# --- builds and their filters ---


def some_builds() -> tuple[Organization, World]:
    made = world()
    acme = made.organizations["acme"]
    app, lib = next(iter(acme.pipelines.values())), pipeline("lib")
    acme.pipelines[lib["id"]] = lib
    ada = made.users[USER]
    put(
        acme,
        build(app, 1, branch="main", creator=ada, meta_data={"release": "1.0", "kind": "x"}),
        build(app, 2, branch="feature/a", state="failed", commit="b" * 40),
        build(lib, 3, state="running", finished_at=None),
        build(app, 4, state="passed", blocked=True, finished_at=at(90)),
        build(app, 5, state="canceled"),
        build(app, 6, state="skipped"),
        build(app, 7, branch="feature/b", state="not_run"),
    )
    return acme, made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [7, 6, 5, 4, 3, 2, 1]),
        ("branch=main", [6, 5, 4, 3, 1]),
        ("branch=feature/*", [7, 2]),
        ("branch[]=feature/a&branch[]=*b", [7, 2]),
        (f"commit={'b' * 40}", [2]),
        (f"commit[]={'b' * 40}&commit[]={'c' * 40}", [2]),
        ("created_from=2026-10-01T09:35:00Z", [7, 6, 5]),
        ("created_from=2026-10-01T09:35:00.0001Z", [7, 6]),
        ("created_to=2026-10-01T09:33:00Z", [2, 1]),
        ("created_to=2026-10-01T09:33:00.0001Z", [3, 2, 1]),
        ("created_from=2026-10-01T11:33:00%2B02:00&created_to=2026-10-01T09:35:00Z", [4, 3]),
        ("finished_from=2026-10-01T09:36:30Z", [7, 6, 4]),
        ("finished_from=2026-10-01T11:00:00Z", [4]),
        (f"creator={USER}", [1]),
        (f"creator={NONE}", []),
        ("state=passed", [1]),
        ("state=blocked", [4]),
        ("state=finished", [5, 4, 2, 1]),
        ("state[]=running&state[]=skipped", [6, 3]),
        ("meta_data[release]=1.0", [1]),
        ("meta_data[release]=1.0&meta_data[kind]=y", []),
        ("include_paused=true", [7, 6, 5, 4, 3, 2, 1]),
    ],
)
def test_filters(query: str, expected: list[int]) -> None:
    acme, made = some_builds()
    with serving(made) as (_, get):
        assert numbers(get(f"builds?{query}")) == expected
        assert numbers(get(f"/v2/builds?{query}")) == expected
        assert numbers(get(f"pipelines/app/builds?{query}")) == [one for one in expected if one != 3]
    assert len(acme.builds) == 7


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        "created_from=yesterday",
        "created_from=2026-10-01T09:30:00",
        "finished_to=2026-10-01T09:30:00Z",
        "updated_from=2026-10-01T09:30:00Z",
        "creator=ada",
        "exclude_jobs=yes",
        "bransh=main",
        "meta_data=1",
        "meta_data[]=1",
        "include_paused=false",
    ],
)
def test_what_it_cannot_read_is_refused(query: str) -> None:
    with serving() as (_, get):
        answer = get(f"builds?{query}")
        assert answer.status_code == 400
        assert isinstance(answer.json()["message"], str)


def test_the_builds_show_as_much_as_was_asked() -> None:
    made = world()
    acme = made.organizations["acme"]
    app = next(iter(acme.pipelines.values()))
    put(acme, build(app, 1, jobs=[job(100, state="failed", retried=True), job(101), job(102, state="failed")]))
    with serving(made) as (_, get):
        shown = get("builds").json()[0]
        assert [one["id"] for one in shown["jobs"]] == [uid(101), uid(102)]
        assert shown["pipeline"]["slug"] == "app"
        assert len(get("builds?include_retried_jobs=true").json()[0]["jobs"]) == 3
        assert get("builds?exclude_jobs=true").json()[0]["jobs"] == []
        assert "pipeline" not in get("builds?exclude_pipeline=true").json()[0]

        one = "pipelines/app/builds/1"
        assert get(one).json()["job_state_counts"] == {"total": 2, "states": {"passed": 1, "failed": 1}}
        every = get(f"{one}?include_retried_jobs=true&exclude_jobs=true").json()
        assert (every["jobs"], every["job_state_counts"]["total"]) == ([], 3)
        failed = get(f"{one}?job_states[]=failed").json()
        assert [one["id"] for one in failed["jobs"]] == [uid(102)]
        assert failed["job_state_counts"]["total"] == 2
        assert "test_engine" not in failed
        assert get(f"{one}?include_test_engine=true").json()["test_engine"] == {"runs": []}

        assert len(get(f"{one}/jobs").json()["items"]) == 3
        assert len(get(f"{one}/jobs?include_retried_jobs=false").json()["items"]) == 2
        assert len(get(f"{one}/jobs?state[]=failed").json()["items"]) == 2
        assert get(f"{one}/jobs?state[]=finished").status_code == 400


def test_a_lone_job_does_not_tell_its_group_and_its_agent_not_its_job() -> None:
    made = world()
    acme = made.organizations["acme"]
    app = next(iter(acme.pipelines.values()))
    agent: dict[str, object] = {"id": uid(7), "name": "a-1", "connection_state": "connected", "cluster_queue_url": None}
    ours = job(100, group_key="tests", agent=agent, _env=["A=1", "B=x=y", "C"])
    agent["job"] = ours
    lost = agent | {"id": uid(8), "name": "a-2", "connection_state": "lost", "job": None}
    acme.agents |= {uid(7): agent, uid(8): lost}
    put(acme, build(app, 1, jobs=[ours]), build(app, 2))
    with serving(made) as (_, get):
        for path in (f"jobs/{uid(100)}", f"pipelines/app/builds/1/jobs/{uid(100)}"):
            alone = get(path).json()
            assert "group_key" not in alone
            assert alone["agent"]["name"] == "a-1"
            assert "job" not in alone["agent"]
            assert get(f"{path}/env").json() == {"env": {"A": "1", "B": "x=y", "C": ""}}
        assert get("pipelines/app/builds/1/jobs").json()["items"][0]["group_key"] == "tests"
        assert get(f"pipelines/app/builds/2/jobs/{uid(100)}").status_code == 404
        assert [one["job"]["id"] for one in get("agents").json()] == [uid(100)]
        assert get("agents?name=a-2").json() == []
        assert get(f"agents/{uid(8)}").json()["connection_state"] == "lost"


def test_annotations_and_artifacts() -> None:
    made = world()
    acme = made.organizations["acme"]
    app = next(iter(acme.pipelines.values()))
    ours = build(app, 1, jobs=[job(100)])
    put(acme, ours)
    note = {"body_html": "<p>hi</p>", "_at": 1}
    acme.annotations[ours["id"]] = [
        note | {"id": uid(1), "scope": "build", "job_id": None},
        note | {"id": uid(2), "scope": "job", "job_id": uid(100)},
    ]
    acme.artifacts[ours["id"]] = [
        {"id": uid(n), "job_id": uid(100), "state": state, "path": f"logs/{state}.txt"}
        for n, state in enumerate(["finished", "deleted", "expired"])
    ]
    with serving(made) as (_, get):

        def ids(path: str) -> list[str]:
            return [one["id"] for one in get(path).json()]

        one = "pipelines/app/builds/1"
        assert ids(f"{one}/annotations") == [uid(1)]
        assert ids(f"{one}/annotations?scope=all") == [uid(1), uid(2)]
        assert ids(f"{one}/jobs/{uid(100)}/annotations") == ids(f"jobs/{uid(100)}/annotations") == [uid(2)]
        assert "body_html" not in get(f"{one}/annotations?omit_body=true").json()[0]
        assert ids(f"{one}/artifacts") == ids(f"jobs/{uid(100)}/artifacts") == [uid(0), uid(2)]
        assert ids(f"{one}/artifacts?state=expired") == [uid(2)]
        assert ids(f"{one}/artifacts?path=logs/f*") == [uid(0)]
        assert get(f"{one}/artifacts?state=gone").status_code == 422
        assert get(f"{one}/jobs/{uid(100)}/artifacts/{uid(0)}").json()["path"] == "logs/finished.txt"
        assert get(f"{one}/jobs/{uid(100)}/artifacts/{uid(1)}").status_code == 404


# --- logs ---


def test_a_log_comes_as_json_as_bytes_and_by_its_end() -> None:
    made = world()
    acme = made.organizations["acme"]
    app = next(iter(acme.pipelines.values()))
    raw = b"\x1b_bk;t=1700000000000\x07~~~ hello\r\n\xff\xfe\r\n"
    waiting = job(103, state="scheduled", started_at=None, finished_at=None)
    running = job(102, state="running", finished_at=None)
    put(acme, build(app, 1, jobs=[job(100), job(101), running, waiting, job(104), {"id": uid(105), "type": "waiter"}]))
    acme.logs |= {uid(100): lambda: raw, uid(101): lambda: b""}
    plain = {"Accept": "text/plain"}
    with serving(made) as (_, get):
        for base in (f"jobs/{uid(100)}/log", f"pipelines/app/builds/1/jobs/{uid(100)}/log"):
            told = get(base).json()
            assert told["content"] == raw.decode(errors="replace")
            assert (told["size"], told["header_times"]) == (len(raw), [])
            assert told["url"].endswith(f"/jobs/{uid(100)}/log")
            assert get(f"{base}.txt").content == get(base, headers=plain).content == raw
            head = get(base, method="HEAD")
            assert (head.headers["Content-Length"], head.headers["Accept-Ranges"]) == (str(len(raw)), "bytes")
            assert head.content == b""

        tail = get(base, headers=plain | {"Range": "bytes=-5"})
        assert (tail.status_code, tail.content) == (206, raw[-5:])
        assert tail.headers["Content-Range"] == f"bytes {len(raw) - 5}-{len(raw) - 1}/{len(raw)}"
        assert get(f"{base}.txt", headers={"Range": "bytes=-9999"}).content == raw
        for wanted in ("bytes=0-5", "bytes=5-", "bytes=-0", "bytes=-x", "lines=-5"):
            assert get(base, headers=plain | {"Range": wanted}).status_code == 400, wanted
        assert get(base, headers={"Range": "bytes=-5"}).status_code == 400
        empty = f"jobs/{uid(101)}/log"
        assert get(empty).json()["size"] == 0
        assert get(empty, headers=plain | {"Range": "bytes=-5"}).status_code == 416
        assert get(f"jobs/{uid(102)}/log").json()["content"] == ""
        for missing in (103, 104, 105):
            assert get(f"jobs/{uid(missing)}/log").status_code == 404, missing
