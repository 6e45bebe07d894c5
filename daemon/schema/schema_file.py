"""Writes schema.json, for all processes: a schema replaces only the schema that it was made from.

A drop that extends the schema, `retraind schema` and `retraind init` may write at the same moment.
"""

from pathlib import Path

from retraind.daemon.core import durable
from retraind.daemon.schema import schema
from retraind.daemon.schema.schema import Schema


def write(path: Path, before: Schema | None, after: Schema) -> bool:
    """Replace `before` (None: there is no file) by `after`, durably.

    False if another process has written the file meanwhile. Raises Unavailable, OSError.
    """
    if before is None:  # no file to lock: the file system lets only one process create it
        return durable.write_new(path, after.dump())
    with durable.locked(path):
        if schema.load(path) != before:
            return False
        durable.write(path, after.dump())
    return True
