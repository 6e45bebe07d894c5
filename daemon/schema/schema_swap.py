"""Replacing schema.json: a changed schema replaces only the one that it was made from.

A drop that extends the schema and `retraind schema` may write at the same moment, from two processes.
"""

from pathlib import Path

from daemon.core import durable
from daemon.schema import schema
from daemon.schema.schema import Schema


def replace(path: Path, before: Schema, after: Schema) -> bool:
    """Replace `before` by `after`, durably; False: the file has another schema by now. Raises Unavailable, OSError."""
    with durable.locked(path):
        if schema.load(path) != before:
            return False
        durable.write(path, after.dump())
    return True
