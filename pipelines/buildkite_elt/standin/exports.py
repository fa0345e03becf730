"""Build exports, as Buildkite writes them into a bucket: a folder for each build, gzipped JSON in it.

`org=…/date=…/pipeline=…/build=…/` with annotations, artifacts, the build without its jobs, step uploads, and below
`jobs/` each job as it stands in the build, and its log (api.md 7.6; buildkite.com/docs/pipelines/build-exports).
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from .builds import show
from .params import Params
from .world import Organization, World, public

Row = dict[str, Any]


def write(world: World, slug: str, folder: Path, wanted: Callable[[Row], bool] = lambda build: True) -> int:
    """Export the wanted builds of an organization below `folder`, as they are now; how many files that are."""
    organization, now, files = world.organizations[slug], world.clock.now().timestamp(), 0
    for build in [one for one in organization.builds.values() if wanted(one)]:
        place = folder / "buildkite" / "build-exports" / folder_of(organization, build)
        for name, content in _files(organization, build):
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(orjson.dumps(content), 1) if name.endswith(".gz") else content)
            os.utime(path, (now, now))
            files += 1
    return files


def folder_of(organization: Organization, build: Row) -> str:
    """The build's folder."""
    day = datetime.fromisoformat(build["created_at"]).date().isoformat()
    parts = {"org": organization.body["id"], "date": day, "pipeline": build["pipeline"]["id"], "build": build["id"]}
    return "/".join(f"{name}={value}" for name, value in parts.items())


def _files(organization: Organization, build: Row) -> Iterator[tuple[str, Any]]:
    body = show(build, Params("include_retried_jobs=true", {"include_retried_jobs"}), {})
    jobs = body.pop("jobs")
    yield "build.json.gz", body
    yield "annotations.json.gz", [public(one) for one in organization.annotations.get(build["id"], [])]
    kept = [one for one in organization.artifacts.get(build["id"], []) if one["state"] != "deleted"]
    yield "artifacts.json.gz", [public(one) for one in kept]
    yield "step-uploads.json.gz", []
    for job in jobs:
        yield f"jobs/job-{job['id']}.json.gz", job
        if job["id"] in organization.logs:
            yield f"jobs/job-{job['id']}.log", organization.logs[job["id"]]()
