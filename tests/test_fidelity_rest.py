"""The stand-in's REST bodies hold every key of Buildkite's own samples, with the same JSON types."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from buildkite_elt.standin import Budgets, Organization, Standin
from hand_made import TLS, world
from missing_keys import MISSING, OTHERWISE

SAMPLES = Path(__file__).parents[2] / "shared" / "buildkite" / "samples" / "rest"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the official samples are not beside the checkout")

MAPS = {"env", "meta_data", "states", "matrix", "platform_settings"}
"""Objects whose keys are the users' own."""
SOME = {"settings", "actor", "links"}
"""Objects whose keys depend on their kind or place: it is enough that one of them has the key."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Get:
    """Fetches a path of the demo's first organization: a listing to its end, or an object; each only once."""

    standin: Standin
    organization: Organization
    client: httpx.Client
    known: dict[str, Any] = field(default_factory=dict)

    def __call__(self, path: str) -> Any:
        if path not in self.known:
            self.known[path] = self.fetch(path)
        return self.known[path]

    def fetch(self, path: str) -> Any:
        ours = f"{self.standin.rest_url}/organizations/{self.organization.slug}/"
        url, rows = f"{self.standin.base if path.startswith('/') else ours}{path}", list[Row]()
        while url:
            answer = self.client.get(url)
            assert answer.status_code == 200, (url, answer.text)
            body = answer.json()
            if not isinstance(body, list):
                return body
            rows += body
            url = answer.links.get("next", {}).get("url", "")
        return rows


@pytest.fixture(scope="module")
def get() -> Iterator[Get]:
    standin = Standin(budgets=Budgets(enforced=False))
    bearer = {"Authorization": f"Bearer {standin.token}"}
    with standin, httpx.Client(headers=bearer, verify=TLS, timeout=20) as client:
        yield Get(standin, next(iter(standin.world.organizations.values())), client)


def _builds(get: Get) -> list[Row]:
    return list(get("builds?created_from=2020-01-01T00:00:00Z&per_page=100&include_retried_jobs=true"))


def _place(build: Row) -> str:
    return f"pipelines/{build['pipeline']['slug']}/builds/{build['number']}"


def _one_by_one(listing: str) -> Callable[[Get], list[Row]]:
    return lambda get: [get(f"{listing}/{one['id']}") for one in get(listing)]


def _below(listing: str, inner: str, *, alone: bool = False) -> Callable[[Get], list[Row]]:
    """The rows of a listing below each row of another; `alone`: each fetched by its id."""

    def fetch(get: Get) -> list[Row]:
        rows: list[Row] = []
        for outer in get(listing):
            path = f"{listing}/{outer['slug' if listing == 'pipelines' else 'id']}/{inner}"
            found = get(path)
            rows += [get(f"{path}/{one['id']}") for one in found[:2]] if alone else found
        return rows

    return fetch


def _of_builds(inner: str) -> Callable[[Get], list[Row]]:
    """The rows of a listing below the newest builds."""
    return lambda get: [row for build in get("builds?per_page=100")[:60] for row in get(f"{_place(build)}/{inner}")]


def _one_build(get: Get) -> list[Row]:
    options = "?include_retried_jobs=true&include_test_engine=true"
    some = [build for index, build in enumerate(_builds(get)) if build["rebuilt_from"] or index % 20 == 0]
    return [get(_place(build) + options) for build in some]


def _jobs(kind: str) -> Callable[[list[Row]], list[Row]]:
    return lambda builds: [job for build in builds for job in build["jobs"] if job["type"] == kind]


def _listed_jobs(get: Get) -> list[Row]:
    pages = [get(f"{_place(build)}/jobs?per_page=2") for build in _builds(get)[:200:20]]
    assert any("next" in page["links"] for page in pages)
    return pages


def _alone(suffix: str) -> Callable[[Get], list[Row]]:
    """Something of finished script jobs by their UUIDs."""

    def fetch(get: Get) -> list[Row]:
        ended = [job["id"] for job in _jobs("script")(_builds(get)) if job["state"] in ("passed", "failed")]
        return [get(f"jobs/{one}{suffix}") for one in ended[:: max(len(ended) // 20, 1)]]

    return fetch


def _of_jobs(inner: str) -> Callable[[Get], list[Row]]:
    """The rows of a listing below ten jobs that have some; the world knows which, as few have annotations."""

    def fetch(get: Get) -> list[Row]:
        kept = getattr(get.organization, inner).values()
        jobs = {one["job_id"]: None for rows in kept for one in rows if one["job_id"]}
        return [row for job in list(jobs)[-10:] for row in get(f"jobs/{job}/{inner}")]

    return fetch


def _one_artifact(get: Get) -> list[Row]:
    return [get(f"jobs/{one['job_id']}/artifacts/{one['id']}") for one in _of_builds("artifacts")(get)[:10]]


def _just(path: str) -> Callable[[Get], list[Row]]:
    def fetch(get: Get) -> list[Row]:
        body = get(path)
        return body if isinstance(body, list) else [body]

    return fetch


FETCH: dict[str, Callable[[Get], list[Row]]] = {
    "access_token__01": _just("/v2/access-token"),
    "agents__01": _just("agents"),
    "agents__02": _one_by_one("agents"),
    "annotations__01": _of_builds("annotations"),
    "annotations__03": _of_jobs("annotations"),
    "artifacts__01": _of_builds("artifacts"),
    "artifacts__02": _of_jobs("artifacts"),
    "artifacts__03": _one_artifact,
    "builds__01": _one_build,
    "builds__02": lambda get: _jobs("trigger")(_builds(get)),
    "clusters__01": _just("clusters"),
    "clusters__agent_tokens__01": _below("clusters", "tokens"),
    "clusters__agent_tokens__02": _below("clusters", "tokens", alone=True),
    "clusters__maintainers__01": _below("clusters", "maintainers"),
    "clusters__maintainers__02": _below("clusters", "maintainers", alone=True),
    "clusters__queues__01": _below("clusters", "queues"),
    "clusters__queues__02": _below("clusters", "queues", alone=True),
    "emojis__01": _just("emojis"),
    "jobs__01": _listed_jobs,
    "jobs__02": _alone(""),
    "jobs__08": _alone("/log"),
    "jobs__09": _alone("/env"),
    "organizations__01": _just("/v2/organizations"),
    "organizations__02": _just(""),
    "organizations__members__01": _just("members"),
    "organizations__members__02": _one_by_one("members"),
    "organizations__rate_limits__01": _just("rate_limit"),
    "pipeline_schedules__01": _below("pipelines", "schedules"),
    "pipeline_schedules__02": _below("pipelines", "schedules", alone=True),
    "pipelines__01": _just("pipelines"),
    "teams__01": _one_by_one("teams"),
    "teams__members__01": _below("teams", "members"),
    "teams__pipelines__01": _below("teams", "pipelines"),
    "teams__suites__01": _below("teams", "suites"),
    "user__01": _just("/v2/user"),
}
"""Sample -> the rows of the stand-in that are like it."""


def kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def differences(sample: Any, rows: list[Any], path: str = "") -> Iterator[tuple[str, str]]:
    """(path of a key, what is wrong) for keys that rows lack or have otherwise; null fits everything."""
    told = [row for row in rows if row is not None]
    if sample is None or not told:
        if sample not in (None, [], {}) and isinstance(sample, dict | list):
            yield path, "is never there"
        return
    others = {kind(row) for row in told} - {kind(sample)}
    if others:
        yield path, f"is a {kind(sample)}, not {', '.join(sorted(others))}"
    alike = [row for row in told if kind(row) == kind(sample)]
    if isinstance(sample, list) and sample:
        items = [one for row in alike for one in row]
        yield from differences(sample[0], _of_type(sample[0], items), f"{path}[]")
    if isinstance(sample, dict) and path.split(".")[-1] not in MAPS:
        yield from _keys(sample, alike, path)


def _of_type(sample: Any, rows: list[Any]) -> list[Any]:
    """Jobs and steps are told apart by their type."""
    if not isinstance(sample, dict) or "type" not in sample:
        return rows
    return [row for row in rows if row["type"] == sample["type"]]


def _keys(sample: Row, rows: list[Row], path: str) -> Iterator[tuple[str, str]]:
    enough = any if path.split(".")[-1] in SOME else all
    for key, value in sample.items():
        below = f"{path}.{key}".lstrip(".")
        if not enough(key in row for row in rows if row):
            lacking = sum(key not in row for row in rows if row)
            yield below, f"is missing in {lacking} of {len(rows)}"
        yield from differences(value, [row[key] for row in rows if key in row], below)


@pytest.mark.parametrize("name", FETCH)
def test_every_key_of_the_sample_is_there(name: str, get: Get) -> None:
    sample = json.loads((SAMPLES / f"rest_api__{name}.json").read_text())["body"]
    rows = FETCH[name](get)
    assert rows, f"the demo has nothing like {name}"
    first = sample[0] if isinstance(sample, list) else sample
    wrong = {f"{name}: {path}": text for path, text in differences(first, rows)}
    unexplained = {key: text for key, text in wrong.items() if key not in MISSING and key not in OTHERWISE}
    assert not unexplained
    stale = [key for key in {**MISSING, **OTHERWISE} if key.startswith(f"{name}: ") and key not in wrong]
    assert not stale, "explained, but not so any more"


def test_a_listed_build_is_the_build_by_its_number_without_its_counts(get: Get) -> None:
    for build in _builds(get)[::100]:
        alone = get(f"{_place(build)}?include_retried_jobs=true")
        assert {key: alone[key] for key in build} == build
        assert set(alone) - set(build) == {"job_state_counts"}
        assert alone["job_state_counts"]["total"] == sum("state" in job for job in build["jobs"])


def test_the_refusal_is_like_the_sample() -> None:
    sample = json.loads((SAMPLES / "rest_api__rate_limits__01.json").read_text())["body"]
    with Standin(world(), budgets=Budgets(rest_user=0)) as standin:
        told = httpx.get(f"{standin.rest_url}/user", headers={"Authorization": f"Bearer {standin.token}"}, verify=TLS)
    assert told.status_code == 429
    assert set(told.json()) == set(sample)
    assert not list(differences(sample, [told.json()]))
