"""Build exports, which Buildkite writes into a bucket as builds leave its retention, as pages of the same tables.

A build is a folder, `org=…/date=…/pipeline=…/build=…/` (api.md 7.6; buildkite.com/docs/pipelines/build-exports), of
gzipped JSON: `build.json.gz` without its jobs, `jobs/job-….json.gz` as in the build, `annotations.json.gz`,
`artifacts.json.gz`. Its logs and step uploads are left where they are.

What the warehouse has read later, or in a later state, stays. What was imported is in `errands`, by build; a folder
that could not be read is not, so it is tried again.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

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
DONE = "SELECT item_id, state FROM {errands} WHERE organization_slug = %s AND table_name = %s"
ERRANDS = {"errands": "errands"}
MOMENTS = ("LastModified", "last_modified", "updated", "mtime")
"""What file systems call the moment of a file."""


@dataclass(frozen=True)
class Folder:
    """One build's: where it is, when it was written, and its job files."""

    path: str
    at: datetime
    jobs: tuple[str, ...]

    @property
    def build(self) -> str:
        """The build's UUID, as the folder has it."""
        return _of(self.path, "build") or self.path


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
        return sorted(made, key=lambda one: (one.at, one.path))

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
        try:
            told = isinstance(found["id"], str) and instant(found["created_at"])
            if found.get("finished_at") is not None:
                instant(found["finished_at"])
        except (KeyError, TypeError, ValueError, AttributeError):
            told = None
        if not told:
            raise BadAnswer(f"{folder.path}/{BUILD} holds no build with an id, a created_at and a finished_at or none")
        return {"pipeline": {"id": _of(folder.path, "pipeline")}, **found}


@dataclass
class Exports(Run):
    """An extraction from exports; it asks Buildkite for nothing."""

    noted: tuple[str, ...] = ("builds",)
    place: Place = field(default_factory=lambda: Place(""))
    broken: dict[str, str] = field(default_factory=dict)
    """{folder: why it could not be read}."""
    fresh: set[str] = field(default_factory=set)
    """Builds that this run has read."""
    _folders: list[Folder] | None = None

    def pages(self, table: Table) -> Iterator[Page]:
        """The pages of one family, as many as a package holds."""
        left, count = self._left(table) if table.name in ("builds", *LISTS) else [], 0
        while left:
            some, left = left[:PER_PAGE], left[PER_PAGE:]
            page = self._page(table, some)
            count += len(page.entries) + sum(1 + len(item.get("jobs") or ()) for item in page.items)
            yield page
            if count >= (self.at_most or count + 1) and left:
                self.report.more = True
                return
        if count == 0:
            yield Page([], datetime.now(UTC))
        if self.broken and table.name == "builds":
            why = next(iter(self.broken.values()))
            more = f", and {len(self.broken) - 1} more builds" if len(self.broken) > 1 else ""
            self.report.failed[table.name] = BadAnswer(
                f"{why}{more}; the rest is imported, the next import tries again"
            )

    def _seen(self, at: datetime) -> str:
        """When the export was written: a row says then that it was like this."""
        return at.isoformat()

    def _left(self, table: Table) -> list[Folder]:
        """The folders that are still to be read: of builds not imported as they are, of lists not asked for either."""
        if self._folders is None:
            self._folders = self.place.folders()
        done = {
            row["item_id"]: row["state"] for row in warehouse.select(DONE, ERRANDS, (self.organization, table.name))
        }
        if table.name == "builds":
            left = [one for one in self._folders if done.get(one.build) != one.at.isoformat()]
        else:
            left = [one for one in self._folders if one.build not in done or one.build in self.fresh]
        self.fresh -= {one.build for one in left} if table.name in LISTS else set()
        return [one for one in left if one.path not in self.broken]

    def _page(self, table: Table, folders: Iterable[Folder]) -> Page:
        """Some folders as one page, told at the moment of the first."""
        items, entries, at, ats = [], [], datetime.now(UTC), dict[str, datetime]()
        for folder in folders:
            try:
                build = self._ours(folder)
                found = self._list(table, folder, build) if table.name in LISTS else self._whole(folder, build)
            except BadAnswer as error:
                self.broken[folder.path] = str(error)
                continue
            told = build if table.name in LISTS else {"state": folder.at.isoformat()}
            entries.append(_entry(table, folder.build, told, len(found)))
            items += found
            at, ats[build["id"]] = min(at, folder.at), folder.at
            if table.name == "builds":
                self.fresh.add(folder.build)
        return Page(items if table.name in LISTS else _newer(items, ats), at, entries=tuple(entries))

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


def _newer(items: list[dict[str, Any]], ats: Mapping[str, datetime]) -> list[dict[str, Any]]:
    """The builds that the warehouse has not read later, nor in a later state."""
    names = ("id", "last_seen_at", "finished_at")
    held = {row["id"]: row for row in warehouse.rows("builds", "id", [item["id"] for item in items], names)}

    def wanted(item: Mapping[str, Any]) -> bool:
        row, ended = held.get(item["id"]), item.get("finished_at")
        if row is None:
            return True
        older = row["finished_at"] is not None and (not ended or instant(ended) < row["finished_at"])
        return not older and not (row["last_seen_at"] and row["last_seen_at"] >= ats[item["id"]])

    return list({item["id"]: item for item in items if wanted(item)}.values())


def _entry(table: Table, build: str, told: Mapping[str, Any], found: int) -> dict[str, Any]:
    """As errands.entry: the API is not asked for this build's annotations any more. Of builds, `state` is the moment of
    their export."""
    version = {name: told.get(name) for name in ("state", "finished_at")}
    return {"table_name": table.name, "item_id": build, "outcome": "read", "found": found, **version}


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
        packed = files.cat_file(path)
    except OSError as error:
        raise BadAnswer(f"{path} could not be read: {str(error) or type(error).__name__}") from None
    try:
        content = gzip.decompress(packed)
        found = orjson.loads(content)
    except (EOFError, OSError, zlib.error) as error:
        raise BadAnswer(f"{path} is no whole gzip file ({str(error) or type(error).__name__})") from None
    except orjson.JSONDecodeError:
        raise BadAnswer(f"{path} holds no JSON") from None
    if not isinstance(found, shape):
        raise BadAnswer(f"{path} holds no {'object' if shape is dict else 'list'}")
    return content
