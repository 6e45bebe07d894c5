"""Spark's file source as its guide shows it; run by the Python of an environment that has pyspark, prints seconds as JSON.

python spark_source.py FOLDER CHECKPOINT OUTPUT COLUMN:TYPE,...
"""

import json
import sys
import time

from pyspark.sql import SparkSession

SETTINGS = {
    "spark.master": "local[2]",
    "spark.driver.memory": "2g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
}


def main() -> None:
    """Read every CSV file of a folder once, write Parquet, and say how long it took and how many rows came out."""
    folder, checkpoint, output, columns = sys.argv[1:]
    session = SparkSession.builder
    for key, value in SETTINGS.items():
        session = session.config(key, value)
    spark = session.getOrCreate()
    spark.range(1000).count()  # the session is warm: starting Java is not what is compared
    started = time.monotonic()
    rows = spark.readStream.schema(columns.replace(":", " ")).option("header", "true").csv(folder)
    query = (
        rows.writeStream.format("parquet")
        .option("checkpointLocation", checkpoint)
        .trigger(availableNow=True)
        .start(output)
    )
    query.awaitTermination()
    seconds = time.monotonic() - started
    print(json.dumps({"seconds": seconds, "rows": spark.read.parquet(output).count(), "version": spark.version}))


if __name__ == "__main__":
    main()
