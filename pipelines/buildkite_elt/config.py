"""What a command works with: the token, the organizations, the addresses and where rows go; all checked before use.

The token comes from a file, from BUILDKITE_API_TOKEN or from dlt's secrets, never from the command line, which other
users of the machine can read. Everything else may also stand in dlt's configuration, under [sources.buildkite_ci].
"""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from buildkite_ci.errors import BadInput, TokenMissing
from buildkite_ci.privacy import SHOWABLE
from buildkite_ci.times import instant
from buildkite_ci.wire import GRAPHQL_URL, REST_URL, Wire

from . import lake
from .loads import Origin, Target

SECTION = ("sources", "buildkite_ci")
SLUG = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9._-]+")
DATASET = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
AGO = re.compile(r"(\d+)\s*([hdw])")
HOURS = {"h": 1, "d": 24, "w": 168}


def token(file: Path | None = None) -> str:
    """The API token. Raises TokenMissing, and BadInput where it lies open."""
    for sections in (SECTION, SECTION[:1], ()):
        if _from_dlt("api_token", *sections, only="config.toml"):
            raise BadInput(
                "There is an api_token in dlt's config.toml, a file that is meant to be shared: "
                "move it to .dlt/secrets.toml and make a new token if others could read it"
            )
    found = secret(file, "--token-file") if file else os.environ.get("BUILDKITE_API_TOKEN", "").strip()
    found = found or str(_from_dlt("api_token", *SECTION) or "")
    if not found:
        raise TokenMissing
    return found


def secret(file: Path, option: str) -> str:
    """The one line that a file holds; refused where others may read it."""
    try:
        mode, text = file.stat().st_mode, file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{option} {file} cannot be read ({getattr(error, 'strerror', None) or 'not text'})") from None
    if mode & 0o077:
        raise BadInput(f"{option} {file} can be read by others: chmod 600 {file}")
    if not text:
        raise BadInput(f"{option} {file} is empty")
    return text


def _from_dlt(name: str, *sections: str, only: str = "") -> Any:
    """A setting as dlt's providers have it (environment, secrets.toml, config.toml), or of one of them only."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    for provider in Container()[PluggableRunContext].providers.providers:
        if only in ("", provider.name) and not provider.is_empty:
            value, _ = provider.get_value(name, Any, None, *sections)
            if value is not None:
                return value
    return None


def section(name: str) -> dict[str, Any]:
    """The settings under [sources.buildkite_ci.NAME]."""
    found = _from_dlt(name, *SECTION)
    return dict(found) if isinstance(found, dict) else {}


def urls() -> tuple[str, str]:
    """The addresses of the REST and the GraphQL API."""
    return (
        os.environ.get("BUILDKITE_REST_URL") or str(_from_dlt("rest_url", *SECTION) or REST_URL),
        os.environ.get("BUILDKITE_GRAPHQL_URL") or str(_from_dlt("graphql_url", *SECTION) or GRAPHQL_URL),
    )


def slugs(given: Iterable[str]) -> tuple[str, ...]:
    """Organizations as typed (each may be a comma list), else the environment's, else dlt's; () for none."""
    told: Any = ",".join(given) or os.environ.get("BUILDKITE_ORGANIZATION") or _from_dlt("organization", *SECTION) or ""
    names = [name.strip() for name in (told.split(",") if isinstance(told, str) else map(str, told))]
    for name in filter(None, names):
        if not SLUG.fullmatch(name):
            raise BadInput(
                f"{name!r} is no organization slug: letters, digits, dots, dashes and underscores only, "
                "as in buildkite.com/SLUG"
            )
    return tuple(dict.fromkeys(filter(None, names)))


def wire(file: Path | None = None, **more: Any) -> Wire:
    """A client with the token and the addresses that are configured; `more` is for Wire."""
    return Wire(token(file), *urls(), **more)


def seen(one: Wire) -> list[str]:
    """Slugs of the organizations that the token sees."""
    from buildkite_ci import rest

    return [str(item["slug"]) for page in rest.pages(one, "organizations") for item in page.items if "slug" in item]


def origin(
    organizations: Sequence[str] = (),
    file: Path | None = None,
    show: Sequence[str] = (),
    key: Path | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Origin:
    """Where to load from; asks the API for the organization where none is named and the token sees exactly one."""
    wanted, (rest_url, graphql_url), value = slugs(organizations), urls(), token(file)
    from .choices import filtered

    hash_key = secret(key, "--hash-key-file") if key else str(_from_dlt("hash_key", *SECTION) or "")
    shown = showing(show)
    if not wanted:
        with Wire(value, rest_url, graphql_url, sleep=sleep) as one:
            wanted = slugs(_only(seen(one)))
    return Origin(wanted, value, rest_url, graphql_url, shown, hash_key, filter=filtered(), views=own_views())


def showing(show: Sequence[str]) -> tuple[str, ...]:
    """What --show names, each may be a comma list. Raises BadInput for a word that means nothing."""
    shown = tuple(name.strip() for name in ",".join(show).split(",") if name.strip())
    for name in shown:
        if not name.startswith("env:"):
            _among(name, SHOWABLE, "--show")
    return shown


def own_views() -> dict[str, Any]:
    """A user's own files of the views' data, by table. Raises BadInput where one cannot be meant."""
    from .views import DATA, data

    own = section("views")
    for name in own:
        _among(name, list(DATA), "[sources.buildkite_ci.views]")
    list(data("", own))
    return own


def _only(found: list[str]) -> list[str]:
    if not found:
        raise BadInput("This token sees no organization: make one that includes yours, or name it with --organization")
    if len(found) > 1:
        raise BadInput(
            f"This token sees {len(found)} organizations: {', '.join(found)}. Say which with --organization (several "
            "with commas) or BUILDKITE_ORGANIZATION"
        )
    return found


def target(destination: str, database: Path, dataset: str, table_format: str = "") -> Target:
    """Where rows go: for `filesystem`, into the DuckDB file and a copy of it in that format, Parquet unless told."""
    import dlt.destinations

    if "." not in destination:
        _among(destination, dlt.destinations.__all__, "--destination")
    if not DATASET.fullmatch(dataset):
        raise BadInput(f"--dataset {dataset!r} is no name for one: small letters, digits and single underscores")
    if destination in ("duckdb", "filesystem") and database.stem == dataset:
        raise BadInput(
            f"The file {database.name} and the dataset {dataset!r} may not have the same name, since DuckDB could not "
            f"tell which is meant by {dataset}.builds: give another --dataset or --database"
        )
    if destination != "filesystem":
        if table_format:
            raise BadInput("--table-format is of a lake: say --destination filesystem, too")
        return Target(destination, database.expanduser(), dataset)
    table_format = table_format or "parquet"
    lake.needed(table_format)
    return Target("duckdb", database.expanduser(), dataset, table_format)


def _among(name: str, known: Sequence[str], option: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(known)}."
        raise BadInput(f"{option} does not know {name!r}. {hint}")


def share(text: str, where: str = "--reserve") -> float:
    """`20%` or `0.2` as a part of one, from 0 to below 1."""
    told = text.strip()
    try:
        part = float(told.removesuffix("%")) / (100 if told.endswith("%") else 1)
    except ValueError:
        part = -1.0
    if not 0 <= part < 1:
        raise BadInput(f"{where} {text!r} is no part: say 20% or 0.2, from 0% to less than 100%")
    return part


def since(text: str, now: datetime | None = None, where: str = "--since") -> datetime | None:
    """`30d`, `12h` or `2w` ago, a date, or a timestamp (UTC where it says none); None for an empty text."""
    now, text = now or datetime.now(UTC), text.strip()
    if not text:
        return None
    try:
        ago = AGO.fullmatch(text)
        moment = now - timedelta(hours=int(ago[1]) * HOURS[ago[2]]) if ago else instant(text)
    except (ValueError, OverflowError):
        raise BadInput(
            f"{where} {text!r} is no moment: say 30d (days; h for hours, w for weeks), a date such as "
            f"{now:%Y-%m-%d}, or a timestamp such as {now:%Y-%m-%dT%H:%M:%SZ}"
        ) from None
    if moment > now:
        raise BadInput(f"{where} {text!r} lies in the future: nothing could be loaded")
    return moment


def age(text: str, where: str = "--max-age") -> float:
    """`90m`, `2h`, `3d` or `1w` as seconds."""
    told = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", text.strip())
    if not told:
        raise BadInput(f"{where} {text!r} is no span: say 90m (minutes; h for hours, d for days, w for weeks)")
    return float(told[1]) * (60 if told[2] == "m" else HOURS[told[2]] * 3600)
