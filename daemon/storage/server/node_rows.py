"""Rows of serving nodes on the journal's server: the desired row, which they follow, and a row for each node.

These tables do not belong to the journal: they do not move with it, and the next leader makes them again. The journal's
session writes the desired row in a transaction of the journal, so a process that has lost the journal can't write it.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from retraind.daemon.core.node.messages import Desired
from retraind.daemon.storage.entries import key_values
from retraind.daemon.storage.server import log_rows

TABLES = (
    """
CREATE TABLE IF NOT EXISTS desired (
    single boolean PRIMARY KEY DEFAULT true CHECK (single), generation bigint NOT NULL, epoch bigint NOT NULL,
    version bigint, manifest text, state text NOT NULL, leader text NOT NULL, at timestamptz NOT NULL)""",
    """
CREATE TABLE IF NOT EXISTS nodes (
    name text PRIMARY KEY, generation bigint NOT NULL, state text NOT NULL, version bigint, problem text NOT NULL,
    at timestamptz NOT NULL)""",
    "ALTER TABLE desired ADD COLUMN IF NOT EXISTS challenger bigint",
    "ALTER TABLE desired ADD COLUMN IF NOT EXISTS challenger_manifest text",
    "ALTER TABLE nodes ADD COLUMN IF NOT EXISTS shipped timestamptz",  # all predictions before are shipped
    log_rows.TABLE,
    log_rows.MIGRATION,
)

LEAD = """
INSERT INTO desired
SELECT true, COALESCE((SELECT value::bigint FROM meta WHERE key = 'generation'), 0), leadership.epoch, NULL, NULL, 'none', :leader, clock_timestamp() FROM leadership
ON CONFLICT (single) DO UPDATE SET epoch = excluded.epoch, leader = excluded.leader
RETURNING *"""

READ = "SELECT * FROM desired"

FORGET = "DELETE FROM nodes WHERE at < clock_timestamp() - interval '1 day'"
"""Time without a report after which a node's row is deleted."""

WRITE = """
UPDATE desired SET generation = :generation, version = :version, manifest = :manifest, state = :state,
    challenger = :challenger, challenger_manifest = :challenger_manifest, at = clock_timestamp() WHERE epoch = :epoch"""


def lead(connection: Connection, leader: str) -> Desired:
    """Make the tables and write the leader's epoch into the row, within the caller's transaction; returns the row.

    `leader` is the leader's URL.
    """
    for statement in TABLES:
        connection.execute(text(statement))
    row = _desired(connection.execute(text(LEAD), {"leader": leader}).mappings().one())
    _note(connection, row)
    return row


def read(connection: Connection) -> Desired:
    """The row as it is."""
    return _desired(connection.execute(text(READ)).mappings().one())


def write(connection: Connection, desired: Desired) -> bool:
    """Write the row and notify the nodes when the caller's transaction ends.

    False if another leader has started a newer epoch.
    """
    count = connection.execute(text(WRITE), desired.model_dump(mode="json")).rowcount
    _note(connection, desired)
    connection.execute(text(FORGET))
    connection.execute(text("SELECT pg_notify('retraind_desired', '')"))
    return bool(count)


def _note(connection: Connection, row: Desired) -> None:
    """Keep the generation in the journal: nodes refuse a smaller one, also after a move of the journal."""
    key_values.put(connection, "generation", row.generation)


def _desired(row: Mapping[Any, Any]) -> Desired:
    return Desired.model_validate(dict(row))
