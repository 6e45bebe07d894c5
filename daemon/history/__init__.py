"""The old part of the prediction history: rotated logs become Parquet files, one folder for each day, with an index in the journal.

The new part is in SQLite. A prediction's number (`seq`) is the same in both.
"""
