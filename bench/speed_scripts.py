"""What bench/speed.py measures, each a process of its own; what they import is not measured."""

TOLD = """
import json, os, resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
def peak():
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) >> 10
def told(rows, began, used, parts={}):
    now, took = os.times(), time.perf_counter() - began
    spent = now.user + now.system - used.user - used.system
    print(json.dumps({"rows": rows, "seconds": took, "cpu": spent, "peak": peak(), "parts": parts}))
"""
OURS = """
import duckdb, pyarrow, pandas
import buildkite_ci
from buildkite_ci.catalog import catalog
from buildkite_ci.resources import source
from buildkite_elt import books, views
from buildkite_elt.loads import Origin, Target, load
url, token, file, tables, since, slugs, profiled = sys.argv[1:]
catalog()
if profiled:
    from bench import where
    where.begin()
origin = Origin(tuple(slugs.split(",")), token, f"{url}/v2", f"{url}/v1")
began, used = time.perf_counter(), os.times()
outcomes = load(origin, Target(database=Path(file)), tuple(tables.split(",")), datetime.fromisoformat(since))
assert all(one.exit_code == 0 for one in outcomes), outcomes
what = "jobs" if tables == "builds" else tables
told(sum(one.rows.get(what, 0) for one in outcomes), began, used, where.end() if profiled else {})
"""
MSGSPEC = """
import duckdb, pyarrow
from buildkite_ci.privacy import Privacy
from buildkite_ci.typed import typed
folder, file = sys.argv[1:]
began, used, rows, how = time.perf_counter(), os.times(), 0, typed("jobs")
given = {"organization_slug": "acme", "last_seen_at": "2026-01-01T00:00:00Z"}
with duckdb.connect(file) as connection:
    for path in sorted(Path(folder).glob("*.json")):
        page = how.table(how.decode(path.read_bytes()), given, Privacy())
        connection.execute("INSERT INTO jobs FROM page" if rows else "CREATE TABLE jobs AS FROM page")
        rows += len(page)
told(rows, began, used)
"""
READER = """
import duckdb
folder, file = sys.argv[1:]
began, used = time.perf_counter(), os.times()
with duckdb.connect(file) as connection:
    pages = f"read_json('{folder}/*.json', maximum_object_size=268435456)"
    connection.execute(f"CREATE TABLE jobs AS SELECT unnest(job) FROM (SELECT unnest(jobs) AS job FROM {pages})")
    (rows,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
told(rows, began, used)
"""
DICTS = """
import dlt, duckdb
folder, file, form = sys.argv[1:]
os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
began, used = time.perf_counter(), os.times()
@dlt.resource(primary_key="id", write_disposition="merge")
def builds():
    for path in sorted(Path(folder).glob("*.json")):
        yield json.loads(path.read_bytes())
pipeline = dlt.pipeline("dicts", destination=dlt.destinations.duckdb(file), dataset_name="ci",
                        pipelines_dir=str(Path(file).parent / "work"))
pipeline.run(builds(), loader_file_format=form or None)
with duckdb.connect(file) as connection:
    (rows,) = connection.execute("SELECT count(*) FROM ci.builds__jobs").fetchone()
told(rows, began, used)
"""
