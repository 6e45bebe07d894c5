"""Exchange: a schema takes the place of the one that it was made of, and of no other.

A drop that lets the schema grow and `retraind schema` may come at the same moment, from two processes.
"""

from pathlib import Path

from daemon.core import durable
from daemon.schema import schema
from daemon.schema.schema import Schema


def replace(path: Path, before: Schema, after: Schema) -> bool:
    """Write `after` in the place of `before`, durably; False: there is another by now. Raises Unavailable, OSError."""
    with durable.locked(path):
        if schema.load(path) != before:
            return False
        durable.write(path, after.dump())
    return True
