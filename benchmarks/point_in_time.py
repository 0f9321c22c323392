"""Our join of impressions with the snapshot before them beside Feast's generic one, in turns, on a built home.

python -m benchmarks.point_in_time --day 2026-02-02
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from statistics import median

from contracts.settings import load


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", required=True, metavar="YYYY-MM-DD", help="a day whose day before has a snapshot")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(argv)

    from pyspark.sql import functions as F

    from spark_jobs import delta, feast_check, feast_store, point_in_time
    from spark_jobs.point_in_time import KEYS
    from spark_jobs.session import spark_session

    settings = load()
    spark = spark_session(settings, "point-in-time")
    opened = feast_store.store(spark, settings)
    moment = point_in_time.moments([asked.day], settings)[-1].moment
    log = delta.read(spark, settings, "impressions", [asked.day])
    for side, key in KEYS.items():
        wanted = feast_check.columns(settings, side)
        rows = log.select(key).distinct().withColumn("moment", F.lit(moment)).persist()
        joins = {
            "ours": partial(point_in_time.known, spark, settings, rows, side, wanted),
            "Feast": partial(feast_check.by_feast, spark, opened, rows, side, wanted),
        }
        took: dict[str, list[float]] = {name: [] for name in joins}
        for _ in range(asked.rounds + 1):  # the first round warms the JVM
            for name, join in joins.items():
                began = time.monotonic()
                join().write.format("noop").mode("overwrite").save()
                took[name].append(time.monotonic() - began)
        ours, theirs = (median(took[name][1:]) for name in joins)
        print(f"{side}: {rows.count():,} entities; ours {ours:.2f} s, Feast {theirs:.2f} s, {theirs / ours:.1f} times")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
