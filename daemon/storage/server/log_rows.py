"""Log files of predictions that nodes have put into the object store: a row for each, until and after the leader has taken it.

A row says how far its file is: `shipped`, then `taken` (the leader has the bytes, durably), then `done` (the object is gone).
It stays for a month, so that a node which ships a file again after a crash finds that it has been shipped.
"""

from collections.abc import Sequence
from typing import NamedTuple

from daemon.storage.server.node_session import NodeSession

TABLE = """
CREATE TABLE IF NOT EXISTS node_logs (
    sha256 text PRIMARY KEY, name text NOT NULL, node text NOT NULL, state text NOT NULL, at timestamptz NOT NULL)"""

KNOWN = "SELECT sha256 FROM node_logs WHERE sha256 = %(sha256)s"

SHIP = """
INSERT INTO node_logs VALUES (%(sha256)s, %(name)s, %(node)s, 'shipped', clock_timestamp()) ON CONFLICT DO NOTHING"""

WAITING = "SELECT sha256, name, node, state FROM node_logs WHERE state <> 'done' ORDER BY at LIMIT 100"

TAKE = """
UPDATE node_logs SET state = 'taken' WHERE sha256 = %(sha256)s AND state = 'shipped'
    AND EXISTS (SELECT 1 FROM desired WHERE epoch = %(epoch)s FOR SHARE)
RETURNING sha256"""

END = "UPDATE node_logs SET state = 'done' WHERE sha256 = %(sha256)s"

FORGET = "DELETE FROM node_logs WHERE state = 'done' AND at < clock_timestamp() - interval '30 days'"


class LogRow(NamedTuple):
    """A file that is on its way."""

    sha256: str
    name: str
    """As its node has called it."""
    node: str
    taken: bool
    """Whether the leader has its bytes."""


def is_known(session: NodeSession, sha256: str) -> bool:
    """Whether a file of this content has been shipped; raises Unavailable."""
    return bool(session.ask(KNOWN, {"sha256": sha256}))


def ship(session: NodeSession, sha256: str, name: str, node: str) -> bool:
    """Record that a file is in the store; False: the leader has not made the table yet. Raises Unavailable."""
    session.ask(SHIP, {"sha256": sha256, "name": name, "node": node})
    return is_known(session, sha256)


def waiting(session: NodeSession) -> Sequence[LogRow]:
    """Some of the files that are on their way, oldest first; raises Unavailable."""
    rows = session.ask(WAITING)
    return [LogRow(row["sha256"], row["name"], row["node"], row["state"] == "taken") for row in rows]


def take(session: NodeSession, sha256: str, epoch: int) -> bool:
    """Record that the leader of an epoch has the bytes; False: another leader has begun one since. Raises Unavailable."""
    return bool(session.ask(TAKE, {"sha256": sha256, "epoch": epoch}))


def end(session: NodeSession, sha256: str) -> None:
    """Record that nothing of a file is left in the store, and forget old ones; raises Unavailable."""
    session.ask(END, {"sha256": sha256})
    session.ask(FORGET)
