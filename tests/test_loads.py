"""A whole load, over HTTP from the stand-in into a DuckDB file, against the stand-in's own truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from buildkite_ci.catalog import catalog
from buildkite_ci.table import Table
from buildkite_elt.loads import Origin, Outcome, Target, load
from buildkite_elt.standin import Budgets, Standin, World
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from truth import TRUTH, wrong

PLENTY = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Load = Callable[..., list[Outcome]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


def loader(standin: Standin, file: Path) -> Load:
    """`load(*tables)` of every organization there is, everything since long ago."""

    def into(*tables: str) -> list[Outcome]:
        slugs = tuple(standin.world.organizations)
        origin = Origin(slugs, standin.token, standin.rest_url, standin.graphql_url)
        return load(origin, Target(database=file), tables, LONG_AGO, sleep=standin.clock.sleep)

    return into


def made(connection: duckdb.DuckDBPyConnection) -> dict[str, Table]:
    """The tables of the catalogue that are in the file."""
    names = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert names >= {name for name, table in catalog().items() if table.by_default}
    return {name: table for name, table in catalog().items() if name in names}


def keys(file: Path) -> Iterator[tuple[str, int, int]]:
    """Each table with its rows and its different keys (the current rows of a history)."""
    with duckdb.connect(str(file), read_only=True) as connection:
        for name, table in made(connection).items():
            live = "WHERE _dlt_valid_to IS NULL" if table.load == "scd2" else ""
            query = f"SELECT count(*), count(DISTINCT ({', '.join(table.key)},)) FROM ci.{name} {live}"
            count = connection.execute(query).fetchone()
            assert count
            yield name, *count


def test_the_demo_world_is_loaded_row_by_row_and_stays_right(file: Path) -> None:
    world = demo()
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        assert [one.exit_code for one in into()] == [0]
        assert wrong(file, world, "acme-inc", first=True) == []
        for hours in (1, 30, 24 * 4):
            world.advance(timedelta(hours=hours))
            assert [one.exit_code for one in into()] == [0]
            assert wrong(file, world, "acme-inc") == []
        assert all(count == different for _, count, different in keys(file))
        assert standin.count().writes == 0
        assert standin.count().refused == 0


ALWAYS_NULL = {
    **{(name, "gone_at"): "nothing is deleted between these loads" for name in ("builds", "annotations", "artifacts")},
    ("artifacts", "glob_path"): "the API says null always",
    ("artifacts", "original_path"): "the API says null always",
    **{("load_coverage", f"missing_{end}"): "these loads left no window undone" for end in ("from", "to")},
    **{(name, "more"): "every field that the stand-in sends is promised" for name in catalog() if name != "build_gaps"},
}


@pytest.mark.slow
def test_every_column_holds_something_in_the_demo_world(file: Path) -> None:
    with Standin(demo(), budgets=PLENTY) as standin:
        loader(standin, file)()
        loader(standin, file)("annotations", "artifacts")
    null = set()
    with duckdb.connect(str(file), read_only=True) as connection:
        for name, table in made(connection).items():
            counts = ", ".join(f'count("{column.name}")' for column in table.all_columns)
            filled = connection.execute(f"SELECT {counts} FROM ci.{name}").fetchone()
            assert filled
            null |= {(name, c.name) for c, n in zip(table.all_columns, filled, strict=True) if not n}
        loaded = set(made(connection))
    assert null == {(name, column) for name, column in ALWAYS_NULL if name in loaded}


@pytest.mark.parametrize("at_a_time", [1000, 3])
def test_annotations_and_artifacts_are_asked_for_once_and_again_when_their_build_changed(
    file: Path, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildkite_ci.extract.ERRANDS", {"REST": at_a_time, "GraphQL": at_a_time})
    world = empty()
    life, app = one_build(world)
    builds = [life.build(app, 1, takes=60) for _ in range(8)]
    running = life.build(app, 1, takes=86400)
    world.advance(600)
    for build in [*builds, running]:
        life.annotate(build, "default", "<b>Hello</b>", "info")
        life.upload_artifact(build["jobs"][0], "dist/app.tar.gz")
    with Standin(world, budgets=PLENTY) as standin:
        token = standin.world.tokens[standin.token]
        token.scopes = tuple(one for one in token.scopes if one != "graphql")  # by which many builds are asked at once
        into = loader(standin, file)

        def asked(what: str) -> int:
            before = len(standin.seen)
            assert [one.exit_code for one in into("builds", "annotations", "artifacts")] == [0]
            return sum(what in seen.path for seen in standin.seen[before:])

        assert asked("/annotations") == 8
        assert asked("/artifacts") == 0
        life.rename_pipeline(app, "renamed")
        gone = life.annotate(builds[0], "default", "<b>Again</b>", "success")
        life.delete_annotation(builds[0], gone)
        life.retry(builds[0], builds[0]["jobs"][0])
        world.advance(3600)
        assert asked("/annotations") == 1
        world.advance(86400)
        assert asked("/artifacts") == 1
    with duckdb.connect(str(file), read_only=True) as connection:
        query = "SELECT count(*), count(gone_at), count(DISTINCT id) FROM ci."
        assert connection.execute(f"{query}annotations").fetchone() == (9, 1, 9)
        assert connection.execute(f"{query}artifacts").fetchone() == (9, 0, 9)
        coverage = "SELECT selected, loaded, waiting FROM ci.load_coverage WHERE table_name = 'annotations'"
        assert connection.execute(f"{coverage} ORDER BY observed_at").fetchall()[-1] == (9, 9, 0)


def test_two_organizations_share_a_dataset_and_do_not_disturb_one_another(file: Path) -> None:
    world = demo(organizations=("acme-inc", "globex"), builds_per_day=3, days=16)
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        into()
        for slug in world.organizations:
            life = Life(world, world.organizations[slug])
            life.rename_pipeline(next(iter(life.organization.pipelines.values())), f"{slug}-renamed")
        world.advance(timedelta(hours=5))
        assert [one.exit_code for one in into()] == [0, 0]
        assert [wrong(file, world, slug) for slug in world.organizations] == [[], []]
        assert not any(seen.status == 404 for seen in standin.seen)


def one_build(world: World) -> tuple[Life, dict[str, object]]:
    life = Life(world, world.organizations["acme"])
    return life, life.pipeline("app")


def test_a_late_finish_a_late_retry_and_an_unblock_are_right_after_the_next_load(file: Path) -> None:
    world = empty()
    life, app = one_build(world)
    late = life.build(app, 3, takes=2 * 86400)
    failed = life.build(app, 3, takes=60, state="failed")
    gated = life.build(app, 2, takes=60)
    world.advance(timedelta(hours=1))
    life.block(gated)
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        into("builds")
        assert wrong(file, world, "acme", ("builds", "jobs")) == []
        world.advance(timedelta(days=3))
        assert late["state"] == "passed"
        life.retry(failed, next(job for job in failed["jobs"] if job["state"] == "failed"))
        life.unblock(gated)
        for _ in range(3):
            into("builds")
            assert wrong(file, world, "acme", ("builds", "jobs")) == []
            world.advance(timedelta(minutes=1))
        world.advance(timedelta(days=1))
        into("builds")
        assert wrong(file, world, "acme", ("builds", "jobs")) == []


def test_what_is_not_there_any_more_ends_in_the_history_and_is_not_lost(file: Path) -> None:
    world = empty()
    life, app = one_build(world)
    other = life.pipeline("other")
    running = life.build(other, 2, takes=86400)
    world.advance(60)
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        into("pipelines", "builds")
        life.delete_pipeline(other)
        life.delete_pipeline(app)
        world.advance(60)
        into("pipelines", "builds")
    with duckdb.connect(str(file), read_only=True) as connection:
        history = connection.execute("SELECT slug, _dlt_valid_to IS NULL FROM ci.pipelines ORDER BY 1").fetchall()
        assert history == [("app", False), ("other", False)]
        gone = connection.execute("SELECT id, gone_at IS NOT NULL, message FROM ci.builds").fetchall()
        assert gone == [(running["id"], True, running["message"])]


def test_settled_builds_that_are_gone_are_marked_when_their_window_is_read_again(file: Path) -> None:
    world = empty()
    life, app = one_build(world)
    now = world.clock.now()
    builds = life.history(app, 250, 1, now - timedelta(days=20), now - timedelta(hours=2))
    with Standin(world, budgets=PLENTY) as standin:
        loader(standin, file)("builds")
        gone = {build["id"] for build in builds[::7]}
        for build in builds[::7]:
            life.delete_build(build)
        origin = Origin(("acme",), standin.token, standin.rest_url, standin.graphql_url, again=True)
        load(origin, Target(database=file), ("builds",), LONG_AGO)
        load(origin, Target(database=file), ("builds",), LONG_AGO)
    assert wrong(file, world, "acme", ("builds",)) == []
    with duckdb.connect(str(file), read_only=True) as connection:
        marked = connection.execute("SELECT id FROM ci.builds WHERE gone_at IS NOT NULL").fetchall()
        assert {one for (one,) in marked} == gone
        assert connection.execute("SELECT count(*) FROM ci.jobs").fetchone() == (250,)


def test_a_run_without_changes_makes_no_new_version_and_keeps_first_seen(file: Path) -> None:
    world = empty()
    life, app = one_build(world)
    life.build(app, 2, takes=86400)
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        into()
        world.advance(3600)
        into()
        world.advance(3600)
        into()
    with duckdb.connect(str(file), read_only=True) as connection:
        versions = connection.execute("SELECT count(*) FROM ci.pipelines").fetchone()
        assert versions == (1,)
        seen = connection.execute("SELECT last_seen_at - first_seen_at FROM ci.builds").fetchone()
        assert seen
        assert timedelta(hours=2) <= seen[0] < timedelta(hours=2, seconds=1)


def test_an_organization_without_anything_gives_tables_with_columns_and_no_rows(file: Path) -> None:
    with Standin(empty(), budgets=PLENTY) as standin:
        assert [one.exit_code for one in loader(standin, file)()] == [0]
    with duckdb.connect(str(file), read_only=True) as connection:
        for name, table in made(connection).items():
            held = [one[0] for one in connection.execute(f"DESCRIBE ci.{name}").fetchall()]
            assert set(table.schema().names) <= set(held), name
        assert connection.execute("SELECT count(*) FROM ci.builds").fetchone() == (0,)


def test_a_thousand_builds_of_fifty_jobs_cost_twelve_requests_and_then_four(file: Path) -> None:
    world = empty()
    life, app = one_build(world)
    now = world.clock.now()
    life.history(app, 1000, 50, now - timedelta(days=20), now - timedelta(hours=2))
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        (first,) = into("builds", "jobs")
        assert first.requests <= 12
        (second,) = into("builds", "jobs")
        assert second.requests <= 3
    assert wrong(file, world, "acme", ("builds",)) == []
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT id) FROM ci.jobs").fetchone() == (50_000, 50_000)


def test_a_build_of_four_thousand_jobs_is_loaded_whole(file: Path) -> None:
    world = empty()
    life, app = one_build(world)
    life.big_build(app)
    with Standin(world, budgets=PLENTY) as standin:
        loader(standin, file)("jobs")
    assert wrong(file, world, "acme", ("builds", "jobs")) == []


def test_a_table_that_the_token_may_not_read_is_skipped_and_named(file: Path) -> None:
    world = demo(builds_per_day=3, days=16)
    token = next(iter(world.tokens.values()))
    token.scopes = tuple(scope for scope in token.scopes if scope not in ("graphql", "read_teams"))
    with Standin(world, budgets=PLENTY) as standin:
        (outcome,) = loader(standin, file)()
        asked = len([seen for seen in standin.seen if seen.status == 403])
    assert outcome.exit_code == 3
    assert set(outcome.skipped) == {"pipeline_metrics", "teams", "team_members", "team_pipelines"}
    assert all("scope" in reason for reason in outcome.skipped.values())
    assert asked <= 1
    assert wrong(file, world, "acme-inc", set(TRUTH) - set(outcome.skipped)) == []


def test_a_family_that_fails_does_not_stop_the_others(file: Path) -> None:
    world = demo(builds_per_day=3, days=16)
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        standin.trouble.add("400", path="/members", times=None)
        (outcome,) = into()
        assert (outcome.exit_code, set(outcome.failed)) == (3, {"members", "team_members"})
        standin.trouble.clear()
        assert [one.exit_code for one in into()] == [0]
    assert wrong(file, world, "acme-inc") == []


def test_a_listing_that_breaks_off_retires_nothing(file: Path) -> None:
    world = empty()
    life, _ = one_build(world)
    for n in range(150):
        life.pipeline(f"p{n}")
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        into("pipelines")
        standin.trouble.add("400", path="page=2")
        assert into("pipelines")[0].exit_code == 1
    assert wrong(file, world, "acme", ("pipelines",)) == []


def test_a_load_killed_while_it_puts_a_completed_package_away_does_not_stop_the_next(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlt.common.storages import LoadStorage

    def killed(self: LoadStorage, load_id: str, aborted: bool) -> None:
        self.normalized_packages.complete_loading_package(load_id, "loaded")
        raise KeyboardInterrupt

    world = empty()
    life, app = one_build(world)
    life.build(app, 2)
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        with monkeypatch.context() as patch:
            patch.setattr(LoadStorage, "complete_load_package", killed)
            with pytest.raises(KeyboardInterrupt):
                into("builds", "pipelines")
        assert Target(database=file).work.exists()
        world.advance(86400)
        assert [one.exit_code for one in into("builds", "pipelines")] == [0]
    assert wrong(file, world, "acme", ("builds", "jobs", "pipelines")) == []
    assert not Target(database=file).work.exists()
