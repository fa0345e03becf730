"""What runs in the environment that has PySpark: `python spark_side.py PLAN`, where PLAN is the file of bench/spark.py.

For each format every table and view becomes a temporary view; each asked query's rows go to ANSWERS/FORMAT/NAME as
Parquet. Seconds of each, by the clock, go to standard output as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.cteRecursionRowLimit": "-1",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
"""UTC, as date_trunc goes by the session's zone; and retry chains may be more than the million rows of a recursion."""


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    builder = SparkSession.builder.master(f"local[{plan['cores']}]").appName("buildkite-elt")
    for name, value in {**SETTINGS, **plan["settings"]}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    refused: dict[str, str] = {}
    took: dict[str, dict[str, float]] = {}
    for form, tables in plan["files"].items():
        for name, files in tables.items():
            spark.read.parquet(*files).createOrReplaceTempView(name)
        for name, query in plan["views"]:
            try:
                spark.sql(query).createOrReplaceTempView(name)
            except PySparkException as error:
                refused[name] = str(error).splitlines()[0]
        took[form] = {}
        for name, query in plan["asked"]:
            began = time.perf_counter()
            spark.sql(query).write.mode("overwrite").parquet(f"{plan['answers']}/{form}/{name}")
            took[form][name] = time.perf_counter() - began
            sys.stderr.write(f"{form}, {name}: {took[form][name]:.1f} s\n")
    sys.stdout.write(json.dumps({"version": spark.version, "seconds": took, "refused": refused}))
    spark.stop()


if __name__ == "__main__":
    main()
