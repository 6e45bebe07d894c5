"""Bodies in Arrow's IPC formats and in Parquet: a process of its own reads them, so that a damaged or swollen one ends that process only."""
