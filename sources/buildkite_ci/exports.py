"""Build exports, which Buildkite writes into a bucket as builds leave its retention, as pages of the same tables.

A build is a folder, `org=…/date=…/pipeline=…/build=…/` (api.md 7.6; buildkite.com/docs/pipelines/build-exports), of
gzipped JSON: `build.json.gz` without its jobs, `jobs/job-….json.gz` each as in the build, `annotations.json.gz` and
`artifacts.json.gz`. Its logs and step uploads are left where they are.

What the warehouse has read later, or in a later state, stays. What was imported is in dlt's state: of each place the
newest file so far, and the folders that could not be read, which are tried again.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dlt
import orjson

from . import warehouse
from .errors import BadAnswer, BadInput
from .extract import Run
from .rest import PER_PAGE, Page
from .table import Table, named
from .times import instant
from .typed import typed

BUILD, JOBS = "build.json.gz", "/jobs/job-"
LISTS = {"annotations": "annotations.json.gz", "artifacts": "artifacts.json.gz"}
TABLES = ("builds", "jobs", "agents", *LISTS)
"""What an export fills; agents as far as jobs show them."""
MOMENTS = ("LastModified", "last_modified", "updated", "mtime")
"""What file systems call the moment of a file."""


@dataclass(frozen=True)
class Folder:
    """One build's: where it is, when it was written, and its job files."""

    path: str
    at: datetime
    jobs: tuple[str, ...]

    @property
    def mark(self) -> list[str]:
        return [self.at.isoformat(), self.path]


@dataclass(frozen=True)
class Place:
    """A folder or a bucket (s3://, gs://, az://), as fsspec and the environment's settings reach it."""

    url: str

    def files(self) -> Any:
        """The file system and the path in it. BadInput where nobody knows how to reach it."""
        import fsspec

        try:
            return fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise BadInput(f"{self.url} cannot be reached: {error}") from None

    def folders(self) -> list[Folder]:
        """Every build's, the one that was written first at the front. BadInput where there is none."""
        files, root = self.files()
        try:
            found: dict[str, Any] = files.find(root, detail=True)
        except OSError as error:
            raise BadInput(f"{self.url} cannot be listed: {error}") from None
        jobs: dict[str, list[str]] = {}
        for path in found:
            above, is_job, name = path.rpartition(JOBS)
            if is_job and name.endswith(".json.gz"):
                jobs.setdefault(above, []).append(path)
        builds = [path.removesuffix(f"/{BUILD}") for path in found if path.endswith(f"/{BUILD}")]
        if not builds:
            raise BadInput(f"{self.url} holds no build export: no folder in it has a {BUILD}")
        made = [Folder(one, _moment(found[f"{one}/{BUILD}"]), tuple(sorted(jobs.get(one, ())))) for one in builds]
        return sorted(made, key=lambda one: one.mark)

    def organization(self) -> str:
        """The slug of the organization that the first readable build is of. BadInput where none tells."""
        for folder in self.folders():
            try:
                slug = named("organizations", self.build(folder).get("url"))
            except BadAnswer:
                continue
            if slug:
                return slug
        raise BadInput(f"No build in {self.url} tells its organization: name it with --organization")

    def build(self, folder: Folder) -> dict[str, Any]:
        """A build, without its jobs. Raises BadAnswer where the file is broken."""
        found: dict[str, Any] = orjson.loads(_read(self.files()[0], f"{folder.path}/{BUILD}", dict))
        if not isinstance(found.get("id"), str) or not isinstance(found.get("created_at"), str):
            raise BadAnswer(f"{folder.path}/{BUILD} holds a build without an id or a created_at")
        return {"pipeline": {"id": _of(folder.path, "pipeline")}, **found}


@dataclass
class Exports(Run):
    """An extraction from exports; it asks Buildkite for nothing."""

    place: Place = field(default_factory=lambda: Place(""))
    broken: dict[str, str] = field(default_factory=dict)
    """{folder: why it could not be read}."""

    def pages(self, table: Table) -> Iterator[Page]:
        """The pages of one family, as many as a package holds."""
        if table.name not in ("builds", *LISTS):
            yield Page([], datetime.now(UTC))
            return
        kept = self._state(table)
        left, count = self._left(kept), 0
        while left:
            some, left = left[:PER_PAGE], left[PER_PAGE:]
            page = self._page(table, some, kept)
            count += len(page.entries) + sum(1 + len(item.get("jobs") or ()) for item in page.items)
            yield page
            if count >= (self.at_most or count + 1) and left:
                self.report.more = True
                return
        if count == 0:
            yield Page([], datetime.now(UTC))
        if self.broken:
            first, why = next(iter(self.broken.items()))
            more = f", and {len(self.broken) - 1} more" if len(self.broken) > 1 else ""
            self.report.failed[table.name] = BadAnswer(f"{why}{more}; the rest is imported, and {first} tried again")

    def _state(self, table: Table) -> dict[str, Any]:
        place = hashlib.sha256(self.place.url.rstrip("/").encode()).hexdigest()[:16]
        kept: dict[str, Any] = dlt.current.source_state().setdefault(self.organization, {})
        return kept.setdefault("exports", {}).setdefault(place, {}).setdefault(table.name, {})  # type: ignore[no-any-return]

    def _left(self, kept: Mapping[str, Any]) -> list[Folder]:
        """The folders that are still to be read. Those that were broken are tried once in a run."""
        done, again = kept.get("done", ["", ""]), set(kept.get("broken", ())) - self.broken.keys()
        return [one for one in self.place.folders() if one.mark > done or one.path in again]

    def _page(self, table: Table, folders: Iterable[Folder], kept: dict[str, Any]) -> Page:
        """Some folders as one page, told at the moment of the first."""
        items, entries, at = [], [], datetime.max.replace(tzinfo=UTC)
        for folder in folders:
            kept["done"] = max(kept.get("done", ["", ""]), folder.mark)
            kept["broken"] = [one for one in kept.get("broken", ()) if one != folder.path]
            try:
                build = self._ours(folder)
                if table.name in LISTS:
                    found = self._list(table, folder, build)
                    entries.append(_entry(table, build, len(found)))
                    items += found
                else:
                    items += self._whole(folder, build)
                at = min(at, folder.at)
            except BadAnswer as error:
                self.broken[folder.path] = str(error)
                kept["broken"].append(folder.path)
        at = min(at, datetime.now(UTC))
        if table.name in LISTS:
            return Page(items, at, entries=tuple(entries))
        return Page(_newer(items, at), at)

    def _ours(self, folder: Folder) -> dict[str, Any]:
        build = self.place.build(folder)
        slug = named("organizations", build.get("url"))
        if slug not in (None, self.organization):
            raise BadAnswer(f"{folder.path} is of the organization {slug}: import it with --organization {slug}")
        return build

    def _whole(self, folder: Folder, build: dict[str, Any]) -> list[dict[str, Any]]:
        """The build with its jobs, decoded as an answer of the API is."""
        files, _ = self.place.files()
        jobs = b",".join(_read(files, path, dict) for path in folder.jobs)
        content = orjson.dumps({**build, "jobs": None})
        head, _, tail = content.rpartition(b'"jobs":null')
        return typed("jobs").decode(b'[%b"jobs":[%b]%b]' % (head, jobs, tail))

    def _list(self, table: Table, folder: Folder, build: Mapping[str, Any]) -> list[dict[str, Any]]:
        files, _ = self.place.files()
        path = f"{folder.path}/{LISTS[table.name]}"
        if not files.exists(path):
            return []
        above = {"build_id": build["id"], "pipeline_id": (build.get("pipeline") or {}).get("id")}
        found = [one for one in orjson.loads(_read(files, path, list)) if isinstance(one, dict) and one.get("id")]
        return [{**above, **one} for one in found]


def _newer(items: list[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    """The builds that the warehouse has not read later, nor in a later state."""
    names = ("id", "last_seen_at", "finished_at")
    held = {row["id"]: row for row in warehouse.rows("builds", "id", [item["id"] for item in items], names)}

    def wanted(item: Mapping[str, Any]) -> bool:
        row, ended = held.get(item["id"]), item.get("finished_at")
        if row is None:
            return True
        older = row["finished_at"] is not None and (not ended or instant(ended) < row["finished_at"])
        return not older and not (row["last_seen_at"] and row["last_seen_at"] >= at)

    return list({item["id"]: item for item in items if wanted(item)}.values())


def _entry(table: Table, build: Mapping[str, Any], found: int) -> dict[str, Any]:
    """As errands.entry: the API is not asked for this build any more."""
    told = {name: build.get(name) for name in ("state", "finished_at")}
    return {"table_name": table.name, "item_id": build["id"], "outcome": "read", "found": found, **told}


def _of(path: str, name: str) -> str | None:
    """What a folder says of a build: _of("…/pipeline=abc/…", "pipeline") is abc."""
    return next((part.partition("=")[2] for part in path.split("/") if part.startswith(f"{name}=")), None)


def _moment(info: Mapping[str, Any]) -> datetime:
    found = next((info[name] for name in MOMENTS if info.get(name)), None)
    if isinstance(found, int | float):
        return datetime.fromtimestamp(found, UTC)
    if isinstance(found, str):
        return instant(found)
    return found if isinstance(found, datetime) else datetime.fromtimestamp(0, UTC)


def _read(files: Any, path: str, shape: type) -> bytes:
    """The JSON of a file. Raises BadAnswer where it is broken."""
    try:
        content = gzip.decompress(files.cat_file(path))
        found = orjson.loads(content)
    except (EOFError, OSError, zlib.error) as error:
        raise BadAnswer(f"{path} is no whole gzip file ({str(error) or type(error).__name__})") from None
    except orjson.JSONDecodeError:
        raise BadAnswer(f"{path} holds no JSON") from None
    if not isinstance(found, shape):
        raise BadAnswer(f"{path} holds no {'object' if shape is dict else 'list'}")
    return content

