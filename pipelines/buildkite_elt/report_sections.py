"""The report's sections: what is asked, and how it is shown."""

from __future__ import annotations

from .report_charts import bars, days, hours, ranges
from .report_parts import Chart, Column, Rows, Section

ENDS = {"passed": "good", "failed": "bad", "canceled": "warn", "not run": "mute", "open": "accent"}
CLASSES = {"test": "bad", "build": "warn", "timeout": "violet", "infrastructure": "accent"}
CLASSES |= {"capacity": "teal", "dependency": "brown", "other": "mute"}
WAITS = {"up to 10 s": "heat-1", "1 min": "heat-2", "5 min": "heat-3", "30 min": "heat-4", "over 30 min": "heat-5"}

SECTIONS = (
    Section(
        "Builds",
        "By the day on which they were made. A blocked build is open; skipped builds were not run.",
        (
            Chart(
                "How builds end",
                "{most} had the most: {told}.",
                "Builds a day",
                days,
                "There are no builds in these days.",
                """WITH calendar AS (
                    SELECT strftime(unnest(generate_series(
                        $since, $until::TIMESTAMP, INTERVAL 1 DAY)), '%Y-%m-%d') AS day
                ), counts AS (
                    SELECT strftime(day, '%Y-%m-%d') AS day, sum(builds_passed) AS passed, sum(builds_failed) AS failed,
                        sum(builds_canceled) AS canceled, sum(builds_not_run) AS "not run", sum(builds_open) AS open
                    FROM builds_daily WHERE organization_slug = $organization AND day >= $since GROUP BY ALL
                ), totals AS (
                    SELECT arg_max(day, passed + failed + canceled + "not run" + open) AS top,
                        max(passed + failed + canceled + "not run" + open)::BIGINT AS told
                    FROM counts
                )
                SELECT day, kind, amount, told, strftime(top::DATE, '%-d %B') AS most FROM calendar
                LEFT JOIN (UNPIVOT counts ON passed, failed, canceled, "not run", open INTO NAME kind VALUE amount)
                    USING (day), totals
                WHERE told > 0 AND (amount > 0 OR amount IS NULL) ORDER BY day""",
                ENDS,
            ),
            Chart(
                "How long builds take",
                "{label} is the slowest: one build in twenty takes longer than {p95}.",
                "Running time of a build, blocked time left out: ○ median, ● 95th percentile; logarithmic",
                ranges,
                "No build ended in these days.",
                """SELECT pipeline_slug AS label, quantile_cont(run_seconds, 0.5) AS low,
                    quantile_cont(run_seconds, 0.95) AS high
                FROM build_times WHERE organization_slug = $organization AND created_at >= $since AND run_seconds > 0
                GROUP BY ALL ORDER BY high DESC, label LIMIT 8""",
            ),
        ),
    ),
    Section(
        "Waits",
        "How long jobs waited for an agent: from when they could run until they started.",
        (
            Chart(
                "By queue",
                "{label} waits longest: one job in twenty waits more than {p95}.",
                "○ median, ● 95th percentile; logarithmic",
                ranges,
                "No job waited for an agent in these days.",
                """SELECT coalesce(queue_key, 'no queue') AS label, quantile_cont(wait_seconds, 0.5) AS low,
                    quantile_cont(wait_seconds, 0.95) AS high
                FROM job_attempts
                WHERE organization_slug = $organization AND runnable_at >= $since AND wait_seconds IS NOT NULL
                GROUP BY ALL ORDER BY high DESC, label LIMIT 8""",
            ),
            Chart(
                "By the hour of the week",
                "The worst hour is {weekday} {hour:02}:00: of its {jobs:,} jobs, one in twenty waited more than {p95}.",
                "95th percentile of all waits, by the hour (UTC) in which jobs could run; no square where none could",
                hours,
                "No job waited for an agent in these days.",
                """WITH waits AS (
                    SELECT isodow(runnable_at) AS number, hour(runnable_at) AS hour,
                        quantile_cont(wait_seconds, 0.95) AS high, count(*) AS jobs
                    FROM job_attempts
                    WHERE organization_slug = $organization AND runnable_at >= $since AND wait_seconds IS NOT NULL
                    GROUP BY ALL
                )
                SELECT ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'][number] AS weekday, hour, high, jobs,
                    CASE WHEN high <= 10 THEN 'up to 10 s' WHEN high <= 60 THEN '1 min' WHEN high <= 300 THEN '5 min'
                        WHEN high <= 1800 THEN '30 min' ELSE 'over 30 min' END AS kind
                FROM waits ORDER BY high DESC, number, hour""",
                WAITS,
            ),
            Rows(
                "Waiting when builds were last read",
                "No job was waiting.",
                (
                    Column("step", "Step", link="web_url"),
                    Column("pipeline_slug", "Pipeline"),
                    Column("queue_key", "Queue"),
                    Column("waiting_seconds", "Waits", "seconds"),
                    Column("reason", "For"),
                ),
                """FROM waiting_jobs
                WHERE organization_slug = $organization ORDER BY waiting_seconds DESC, job_id LIMIT 6""",
                whole=True,
            ),
        ),
    ),
    Section(
        "Flaky steps",
        "Jobs that failed, were retried and passed, in the 28 days before the last load.",
        (
            Chart(
                "Which steps flake",
                "{label} flakes most: {flakes} times, in {share} of its jobs.",
                "Flaky jobs, and their share of the step's jobs",
                bars,
                "No step was flaky.",
                """WITH top AS (
                    SELECT *, pipeline_slug || ' / ' || step AS label FROM flaky_steps
                    WHERE organization_slug = $organization
                    ORDER BY flakes DESC, label LIMIT 8
                )
                SELECT label, kind, amount, flakes, coalesce(format('{:.1f} %', 100 * flake_share), '?') AS share,
                    flakes || ' · ' || share AS told
                FROM (
                    SELECT *, 'the step''s own' AS kind, flakes - infrastructure_flakes AS amount FROM top
                    UNION ALL SELECT *, 'of the infrastructure', infrastructure_flakes FROM top
                ) WHERE amount > 0 ORDER BY flakes DESC, label""",
                {"the step's own": "bad", "of the infrastructure": "accent"},
            ),
            Rows(
                "What they cost",
                "No step was flaky.",
                (
                    Column("label", "Step"),
                    Column("lost_seconds", "Lost", "seconds"),
                    Column("last_flake_at", "Last", "moment"),
                ),
                """SELECT *, pipeline_slug || ' / ' || step AS label FROM flaky_steps
                WHERE organization_slug = $organization ORDER BY lost_seconds DESC, label LIMIT 8""",
            ),
        ),
    ),
    Section(
        "Slow steps",
        "Of attempts that passed. A step has become slower when its median of the last seven days is more than a fifth "
        "above that of the 28 days before.",
        (
            Chart(
                "The slowest",
                "{label} takes longest: one job in twenty takes more than {p95}.",
                "Running time: ○ median, ● 95th percentile; logarithmic",
                ranges,
                "No job passed in these days.",
                """SELECT pipeline_slug || ' / ' || step AS label, quantile_cont(run_seconds, 0.5) AS low,
                    quantile_cont(run_seconds, 0.95) AS high
                FROM job_attempts
                WHERE organization_slug = $organization AND started_at >= $since AND state = 'passed'
                GROUP BY ALL HAVING count(run_seconds) >= 5 ORDER BY high DESC, label LIMIT 8""",
            ),
            Chart(
                "Became slower",
                "{label} takes {share} longer than before.",
                "Median running time: ○ before, ● in the last seven days; logarithmic",
                ranges,
                "No step became slower.",
                """SELECT pipeline_slug || ' / ' || step AS label, baseline_p50_seconds AS low,
                    recent_p50_seconds AS high, format('{:.0f} %', 100 * slower_share) AS share, '+' || share AS told
                FROM step_slowdowns
                WHERE organization_slug = $organization ORDER BY slower_share DESC, label LIMIT 8""",
            ),
            Rows(
                "Since which commit",
                "No step became slower.",
                (
                    Column("step", "Step"),
                    Column("pipeline_slug", "Pipeline"),
                    Column("slower_share", "Slower by", "share"),
                    Column("build", "Since build", link="web_url"),
                    Column("commit", "Commit"),
                    Column("since_at", "At", "moment"),
                ),
                """SELECT s.*, '#' || s.since_build_number AS build, left(s.since_commit, 10) AS commit, b.web_url
                FROM step_slowdowns AS s LEFT JOIN build_outcomes AS b
                    ON s.organization_slug = b.organization_slug AND s.pipeline_slug = b.pipeline_slug
                    AND s.since_build_number = b.build_number
                WHERE s.organization_slug = $organization
                ORDER BY s.slower_share DESC, s.pipeline_slug, s.step LIMIT 8""",
                whole=True,
            ),
        ),
    ),
    Section(
        "Failures",
        "Attempts of jobs that failed, soft failures and retried ones included, by class (`failure_rules`).",
        (
            Chart(
                "What jobs fail of",
                "Most fail of {most}: {told}.",
                "Failed attempts a day",
                days,
                "No job failed in these days.",
                """WITH calendar AS (
                    SELECT strftime(unnest(generate_series(
                        $since, $until::TIMESTAMP, INTERVAL 1 DAY)), '%Y-%m-%d') AS day
                ), failures AS (
                    SELECT strftime(failed_at, '%Y-%m-%d') AS day,
                        CASE WHEN class IN ('test', 'build', 'timeout', 'infrastructure', 'capacity', 'dependency')
                            THEN class ELSE 'other' END AS kind
                    FROM job_failures WHERE organization_slug = $organization AND failed_at >= $since
                ), top AS (
                    SELECT kind AS most, format('{} of {}', count(*), (SELECT count(*) FROM failures)) AS told
                    FROM failures GROUP BY ALL ORDER BY count(*) DESC, kind LIMIT 1
                )
                SELECT day, kind, amount, most, told FROM calendar
                LEFT JOIN (SELECT day, kind, count(*) AS amount FROM failures GROUP BY ALL) USING (day), top
                ORDER BY day""",
                CLASSES,
            ),
            Rows(
                "What their logs say",
                "No log that is loaded tells of an error.",
                (
                    Column("text", "Error", link="example_url"),
                    Column("jobs", "Jobs", "number"),
                    Column("last_at", "Last", "moment"),
                ),
                """SELECT *, error_text AS text FROM error_messages
                WHERE organization_slug = $organization AND last_at >= $since
                ORDER BY jobs DESC, last_at DESC, text LIMIT 8""",
            ),
        ),
    ),
    Section(
        "Cost",
        "Running time of jobs, by the price of their queue in `price_list`, which is yours to say.",
        (
            Chart(
                "Job hours",
                "{label} runs most: {told}.",
                "Hours of jobs",
                bars,
                "No job ran in these days.",
                """WITH hours AS (
                    SELECT pipeline_slug AS label, coalesce(sum(run_seconds) FILTER (WHERE retried), 0) / 3600 AS lost,
                        sum(run_seconds) / 3600 AS total
                    FROM job_costs WHERE organization_slug = $organization AND started_at >= $since
                    GROUP BY ALL ORDER BY total DESC, label LIMIT 8
                )
                SELECT label, kind, amount, format('{:,.1f} h', total) AS told FROM (
                    SELECT *, 'kept' AS kind, total - lost AS amount FROM hours
                    UNION ALL SELECT *, 'lost to retries', lost FROM hours
                ) WHERE amount > 0 ORDER BY total DESC, label""",
                {"kept": "accent", "lost to retries": "bad"},
            ),
            Chart(
                "Dollars",
                "{label} costs most: {told}.",
                "US dollars, of jobs whose queue has a price",
                bars,
                "No queue that ran a job has a price: a CSV file of queue_key and usd_per_hour tells them, named as "
                "`price_list` under `[sources.buildkite_ci.views]`.",
                """WITH costs AS (
                    SELECT pipeline_slug AS label, coalesce(sum(cost_usd) FILTER (WHERE retried), 0) AS lost,
                        sum(cost_usd) AS total
                    FROM job_costs WHERE organization_slug = $organization AND started_at >= $since AND cost_usd > 0
                    GROUP BY ALL ORDER BY total DESC, label LIMIT 8
                )
                SELECT label, kind, amount, format('${:,.2f}', total) AS told FROM (
                    SELECT *, 'kept' AS kind, total - lost AS amount FROM costs
                    UNION ALL SELECT *, 'lost to retries', lost FROM costs
                ) WHERE amount > 0 ORDER BY total DESC, label""",
                {"kept": "accent", "lost to retries": "bad"},
            ),
            Rows(
                "By queue",
                "No job ran in these days.",
                (
                    Column("queue", "Queue"),
                    Column("jobs", "Jobs", "number"),
                    Column("seconds", "Ran", "seconds"),
                    Column("price", "An hour", "usd"),
                    Column("usd", "Cost", "usd"),
                    Column("lost", "Lost to retries", "seconds"),
                ),
                """SELECT coalesce(queue_key, 'no queue') AS queue, count(*) AS jobs, sum(run_seconds) AS seconds,
                    max(usd_per_hour) AS price, sum(cost_usd) AS usd,
                    coalesce(sum(run_seconds) FILTER (WHERE retried), 0) AS lost
                FROM job_costs WHERE organization_slug = $organization AND started_at >= $since
                GROUP BY ALL ORDER BY seconds DESC, queue LIMIT 10""",
                whole=True,
            ),
        ),
    ),
    Section(
        "API use",
        "What loads asked of Buildkite. Answers that were refused tell that others use the same limits.",
        (
            Chart(
                "The last load, by table",
                "{label} took the most: {told}.",
                "Requests; a query of GraphQL is one, whatever its points",
                bars,
                "No load is known.",
                """WITH spent AS (
                    SELECT table_name AS label, sum(requests) AS total,
                        coalesce(sum(requests) FILTER (WHERE api = 'graphql'), 0) AS graphql
                    FROM api_usage
                    WHERE run_id = (FROM load_costs SELECT arg_max(run_id, started_at)
                        WHERE organization_slug = $organization) AND organization_slug = $organization
                    GROUP BY ALL HAVING total > 0 ORDER BY total DESC, graphql DESC, label LIMIT 8
                )
                SELECT label, kind, amount,
                    format('{:,} request{}', total::BIGINT, CASE WHEN total = 1 THEN '' ELSE 's' END) AS told
                FROM (
                    SELECT *, 'REST' AS kind, total - graphql AS amount FROM spent
                    UNION ALL SELECT *, 'GraphQL', graphql FROM spent
                ) WHERE amount > 0 ORDER BY total DESC, graphql DESC, label""",
                {"REST": "accent", "GraphQL": "violet"},
            ),
            Rows(
                "The last loads",
                "No load is known.",
                (
                    Column("started_at", "Began", "moment"),
                    Column("requests", "Requests", "number"),
                    Column("graphql_points", "Points", "number"),
                    Column("refused_requests", "Refused", "number"),
                    Column("waited_seconds", "Waited", "seconds"),
                ),
                """SELECT *, rest_requests + graphql_requests AS requests FROM load_costs
                WHERE organization_slug = $organization ORDER BY started_at DESC LIMIT 6""",
            ),
        ),
    ),
    Section(
        "Coverage",
        "What of Buildkite is in this file. `buildkite-elt verify` asks Buildkite itself.",
        (
            Chart(
                "Builds of each pipeline",
                "{says}",
                "Numbers of builds",
                bars,
                "There are no builds.",
                """WITH held AS (
                    SELECT pipeline_slug AS label, builds, numbers_unexplained AS gaps,
                        sum(numbers_unexplained) OVER () AS every
                    FROM build_number_gaps
                    WHERE organization_slug = $organization ORDER BY gaps DESC, builds DESC, label LIMIT 8
                )
                SELECT label, kind, amount,
                    CASE WHEN every = 0 THEN 'No number between a pipeline''s first and last build is missing.'
                        ELSE format('{:,} numbers between a pipeline''s first and last build are missing.',
                            every::BIGINT) END AS says,
                    format('{:,}', builds) || CASE WHEN held.gaps > 0 THEN format(', {:,} not', held.gaps) ELSE '' END
                        AS told
                FROM (
                    SELECT *, 'here' AS kind, builds AS amount FROM held
                    UNION ALL SELECT *, 'not here, unexplained', gaps FROM held
                ) AS held WHERE amount > 0 ORDER BY held.gaps DESC, builds DESC, label""",
                {"here": "good", "not here, unexplained": "bad"},
            ),
            Rows(
                "Builds that were read without a gap",
                "No load of builds is known.",
                (Column("span", "Created"), Column("selected_from", "Wanted from", "moment")),
                """SELECT selected_from,
                    strftime(covered_from, '%Y-%m-%d %H:%M to ') || strftime(covered_to, '%Y-%m-%d %H:%M') AS span
                FROM load_coverage
                WHERE organization_slug = $organization AND table_name = 'builds' AND covered_to IS NOT NULL
                ORDER BY observed_at DESC LIMIT 1""",
            ),
            Rows(
                "What waits to be loaded",
                "Nothing waits: what the loads chose was read whole.",
                (
                    Column("table_name", "Table"),
                    Column("reason", "Why"),
                    Column("waiting", "Rows", "number"),
                    Column("oldest_missing_at", "Oldest", "moment"),
                ),
                """FROM retention_risks
                WHERE organization_slug = $organization ORDER BY days_left_of_90 NULLS LAST, table_name LIMIT 12""",
            ),
            Rows(
                "What could not be loaded",
                "Each table that a load asked for was loaded.",
                (Column("table_name", "Table"), Column("outcome", "Outcome"), Column("reason", "Why")),
                """SELECT * FROM (
                    FROM sync_runs WHERE organization_slug = $organization
                    QUALIFY row_number() OVER (PARTITION BY table_name ORDER BY finished_at DESC, run_id) = 1
                )
                WHERE outcome <> 'loaded' ORDER BY table_name LIMIT 12""",
            ),
        ),
    ),
)
