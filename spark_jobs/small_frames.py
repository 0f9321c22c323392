"""A few of the driver's own rows as a frame."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from spark_jobs.schema import declared


def small_frame(spark: SparkSession, rows: Sequence[tuple[object, ...]], ddl: str) -> DataFrame:
    """Through Arrow: a list of rows would start Python workers on the executors. Times carry their zone."""
    arrow = to_arrow_schema(declared(ddl), timezone="UTC")
    columns = list(zip(*rows, strict=True)) or [() for _ in arrow]
    arrays = [pa.array(column, one.type) for column, one in zip(columns, arrow, strict=True)]
    return spark.createDataFrame(pa.table(arrays, schema=arrow))
