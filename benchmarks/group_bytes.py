"""Bytes of a day's groups beside the flat table of the same impressions, and how full the groups are.

    python -m benchmarks.group_bytes --day 2026-02-03

The flat table has a row an impression with everything that its group holds; both are Parquet as Spark writes it, one
file. It reads the tables of ADLENS_HOME.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from contracts.settings import load

TABLES = ("ad_groups", "user_groups")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", required=True, metavar="YYYY-MM-DD")
    asked = parser.parse_args(argv)
    settings = load()

    from pyspark.sql import functions as F

    from spark_jobs import delta
    from spark_jobs.session import spark_session

    spark = spark_session(settings, "group-bytes")
    print(f"{'table':<12}{'groups':>9}{'impressions a group':>21}{'grouped':>12}{'flat':>12}{'share':>7}")
    for name in TABLES:
        groups = delta.read(spark, settings, name, [asked.day]).drop("day")
        flat = groups.withColumn("one", F.explode("impressions")).drop("impressions").select("*", "one.*").drop("one")
        n, shown = groups.count(), flat.count()
        bytes_of = []
        for frame in (groups, flat):
            with tempfile.TemporaryDirectory() as folder:
                frame.coalesce(1).write.mode("overwrite").parquet(folder)
                bytes_of.append(sum(file.stat().st_size for file in Path(folder).glob("*.parquet")))
        grouped, plain = bytes_of
        print(f"{name:<12}{n:>9,}{shown / n:>21.1f}{grouped:>12,}{plain:>12,}{grouped / plain:>7.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
