"""Serving nodes on the journal's server: the one row that they follow, and a row of each node.

They are beside the journal's own tables: a journal that moves takes none of them along, and the next leader makes them again.
The journal's session writes the desired row, in a transaction of the journal: whoever has lost the journal can't write it.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from daemon.core.node.messages import Desired
from daemon.storage.server import log_rows

TABLES = (
    """
CREATE TABLE IF NOT EXISTS desired (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), generation bigint NOT NULL, epoch bigint NOT NULL,
    version bigint, manifest text, state text NOT NULL, leader text NOT NULL, at timestamptz NOT NULL)""",
    """
CREATE TABLE IF NOT EXISTS nodes (
    name text PRIMARY KEY, generation bigint NOT NULL, state text NOT NULL, version bigint, problem text NOT NULL,
    at timestamptz NOT NULL)""",
    log_rows.TABLE,
)

LEAD = """
INSERT INTO desired VALUES (true, 0, 1, NULL, NULL, 'none', :leader, clock_timestamp())
ON CONFLICT (one) DO UPDATE SET epoch = desired.epoch + 1, leader = excluded.leader
RETURNING generation, epoch, version, manifest, state, leader"""

READ = "SELECT generation, epoch, version, manifest, state, leader FROM desired"

FORGET = "DELETE FROM nodes WHERE at < clock_timestamp() - interval '1 day'"
"""A node that has been silent for so long is forgotten."""

WRITE = """
UPDATE desired SET generation = :generation, version = :version, manifest = :manifest, state = :state,
    at = clock_timestamp() WHERE epoch = :epoch"""


def lead(connection: Connection, leader: str) -> Desired:
    """Make the tables and begin the next epoch, within the caller's transaction; the row as it is. `leader` is where it answers."""
    for statement in TABLES:
        connection.execute(text(statement))
    return _desired(connection.execute(text(LEAD), {"leader": leader}).mappings().one())


def read(connection: Connection) -> Desired:
    """The row as it is."""
    return _desired(connection.execute(text(READ)).mappings().one())


def write(connection: Connection, desired: Desired) -> bool:
    """Write the row and wake the nodes when the caller's transaction ends; False: another leader has begun an epoch since."""
    count = connection.execute(text(WRITE), desired.model_dump(mode="json")).rowcount
    connection.execute(text(FORGET))
    connection.execute(text("SELECT pg_notify('retraind_desired', '')"))
    return bool(count)


def _desired(row: Mapping[Any, Any]) -> Desired:
    return Desired.model_validate(dict(row))
