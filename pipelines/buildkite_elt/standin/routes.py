"""The routes of REST v2 (api.md 4.1): path, scope, how the answer is paged, and where its rows come from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import builds, log_answers, rest
from .answer import Answer, Ask, Refusal, as_json
from .budget import Meter
from .builds import GOT, JOBS_LISTED, LISTED
from .paging import cursor, page
from .params import Params
from .rest import Call
from .world import Row, World

PAGED = ("page", "per_page")
CURSED = ("per_page", "after", "before")
O = "/v2/organizations/{org}"  # noqa: E741  (api.md calls it so)
P = f"{O}/pipelines/{{pipeline}}"
N = f"{P}/builds/{{number}}"
K = f"{O}/clusters/{{cluster}}"
T = f"{O}/teams/{{team}}"


@dataclass(frozen=True)
class Route:
    """`style`: one (an object), pages, deep (pages that end somewhere), cursor, all (no paging), raw (an Answer)."""

    path: str
    scope: str | None
    style: str
    find: Callable[[Call], Any]
    params: tuple[str, ...] = ()
    show: Callable[[Call, Row], Row] = rest.show
    open: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.path)))

    @property
    def known(self) -> tuple[str, ...]:
        """Every query parameter that the route reads."""
        paging = {"pages": PAGED, "deep": PAGED, "cursor": CURSED}.get(self.style, ())
        return (*self.params, *paging)

    def answer(self, call: Call) -> Answer:
        rows = self.find(call)
        if self.style == "raw":
            return rows  # type: ignore[no-any-return]
        if self.style == "one":
            return as_json(self.show(call, rows))
        if self.style == "all":
            return as_json([self.show(call, row) for row in rows])
        if self.style == "cursor":
            some, links = cursor(rows, call.ask, call.params)
            return as_json({"items": [self.show(call, row) for row in some], "links": links})
        deep = call.meter.budgets.deep if self.style == "deep" else None
        some, link = page(rows, call.ask, call.params, deep)
        answer = as_json([self.show(call, row) for row in some])
        answer.headers |= {"Link": link} if link else {}
        return answer


def _listed(call: Call, row: Row) -> Row:
    return builds.show(row, call.params, call.memo)


def _build(call: Call, row: Row) -> Row:
    return builds.show_one(row, call.params)


def _job(call: Call, row: Row) -> Row:
    return builds.show_job(row, call.memo)


def _lone_job(_: Call, row: Row) -> Row:
    """Without its build a job does not tell its group (api.md 4.4)."""
    return {key: value for key, value in builds.show_job(row, {}).items() if key != "group_key"}


def _of_job(base: str) -> list[Route]:
    """The routes below a job, which hang under its build and under the organization."""
    one = f"{base}/jobs/{{job}}"
    return [
        Route(one, "read_builds", "one", rest.job, (), _lone_job),
        Route(f"{one}/log", "read_build_logs", "raw", log_answers.log),
        Route(f"{one}/log.txt", "read_build_logs", "raw", log_answers.log),
        Route(f"{one}/env", "read_job_env", "one", rest.job_env),
        Route(f"{one}/annotations", "read_builds", "pages", rest.job_annotations, ("omit_body",), rest.show_annotation),
        Route(f"{one}/artifacts", "read_artifacts", "pages", rest.artifacts, ("state", "path")),
        Route(f"{one}/artifacts/{{id}}", "read_artifacts", "one", rest.artifact),
    ]


ROUTES = [
    Route("/", None, "one", rest.root, open=True),
    Route("/v2/meta", None, "one", rest.meta, open=True),
    Route("/v2/access-token", None, "one", rest.access_token),
    Route("/v2/user", "read_user", "one", rest.user),
    Route("/v2/organizations", "read_organizations", "pages", rest.organizations),
    Route(O, "read_organizations", "one", rest.organization),
    Route(f"{O}/rate_limit", "read_organizations", "one", rest.rate_limit),
    Route(f"{O}/emojis", None, "all", rest.emojis),
    Route(f"{O}/pipelines", "read_pipelines", "pages", rest.pipelines, ("name", "repository")),
    Route(P, "read_pipelines", "one", rest.pipeline),
    Route(f"{P}/schedules", "read_pipelines", "pages", rest.schedules),
    Route(f"{P}/schedules/{{id}}", "read_pipelines", "one", rest.schedule),
    Route("/v2/builds", "read_builds", "deep", rest.all_builds, LISTED, _listed),
    Route(f"{O}/builds", "read_builds", "deep", rest.organization_builds, LISTED, _listed),
    Route(f"{P}/builds", "read_builds", "deep", rest.pipeline_builds, LISTED, _listed),
    Route(N, "read_builds", "one", rest.build, GOT, _build),
    Route(f"{N}/jobs", "read_builds", "cursor", rest.jobs, JOBS_LISTED, _job),
    Route(
        f"{N}/annotations", "read_builds", "pages", rest.build_annotations, ("scope", "omit_body"), rest.show_annotation
    ),
    Route(f"{N}/artifacts", "read_artifacts", "pages", rest.artifacts, ("state", "path")),
    *_of_job(N),
    *_of_job(O),
    Route(
        f"{O}/agents",
        "read_agents",
        "pages",
        rest.agents,
        ("name", "hostname", "version", "cluster_queue_id"),
        rest.show_agent,
    ),
    Route(f"{O}/agents/{{id}}", "read_agents", "one", rest.agent, (), rest.show_agent),
    Route(f"{O}/clusters", "read_clusters", "pages", rest.clusters),
    Route(K, "read_clusters", "one", rest.cluster),
    Route(f"{K}/queues", "read_clusters", "pages", rest.queues),
    Route(f"{K}/queues/{{id}}", "read_clusters", "one", rest.queue),
    Route(f"{K}/tokens", "read_clusters", "pages", rest.cluster_tokens),
    Route(f"{K}/tokens/{{id}}", "read_clusters", "one", rest.cluster_token),
    Route(f"{K}/maintainers", "read_clusters", "pages", rest.maintainers),
    Route(f"{K}/maintainers/{{id}}", "read_clusters", "one", rest.maintainer),
    Route(f"{O}/members", "read_organizations", "pages", rest.members),
    Route(f"{O}/members/{{id}}", "read_organizations", "one", rest.member),
    Route(f"{O}/teams", "read_teams", "pages", rest.teams, ("user_id",)),
    Route(T, "read_teams", "one", rest.team),
    Route(f"{T}/members", "read_teams", "pages", rest.team_members),
    Route(f"{T}/pipelines", "read_teams", "pages", rest.team_pipelines),
    Route(f"{T}/suites", "read_teams", "pages", rest.team_suites),
]


def find(path: str) -> tuple[Route | None, dict[str, str]]:
    """The route of a path and the named parts of it; None where nothing is."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match:
            return route, match.groupdict()
    return None, {}


def answer(world: World, ask: Ask, meter: Meter, route: Route, parts: dict[str, str]) -> Answer:
    """Check the organization, the scope and the query, then find and show the rows. Raises Refusal."""
    organization = world.organizations.get(parts["org"]) if "org" in parts else None
    if "org" in parts and (organization is None or ask.token is None or not ask.token.sees(parts["org"])):
        raise Refusal(404, "No organization found")
    if route.scope and ask.token and route.scope not in ask.token.scopes:
        raise Refusal(403, f"Your access token doesn't have the `{route.scope}` scope")
    params = Params(ask.query, route.known)
    return route.answer(Call(world, ask, parts, params, meter, organization))
