"""Rows for the log files of predictions that nodes have put into the object store.

The state of a row is `shipped`, then `taken` (the leader has the bytes, durably), then `done` (the object is removed).
`taker` is the home whose leader has taken it: another home does not have these bytes.
A row stays for a month, so a node that repeats a file after a crash finds that it was shipped.
"""

from collections.abc import Sequence
from typing import NamedTuple

from retraind.daemon.storage.server.node_session import NodeSession

TABLE = """
CREATE TABLE IF NOT EXISTS node_logs (
    sha256 text PRIMARY KEY, name text NOT NULL, node text NOT NULL, state text NOT NULL, at timestamptz NOT NULL,
    taker text)"""

MIGRATION = "ALTER TABLE node_logs ADD COLUMN IF NOT EXISTS taker text"

KNOWN = "SELECT sha256 FROM node_logs WHERE sha256 = %(sha256)s"

SHIP = """
INSERT INTO node_logs VALUES (%(sha256)s, %(name)s, %(node)s, 'shipped', clock_timestamp()) ON CONFLICT DO NOTHING"""

WAITING = "SELECT sha256, name, node, state, taker FROM node_logs WHERE state <> 'done' ORDER BY at LIMIT 100"

TAKE = """
UPDATE node_logs SET state = 'taken', taker = %(taker)s WHERE sha256 = %(sha256)s AND state <> 'done'
    AND EXISTS (SELECT 1 FROM leadership WHERE epoch = %(epoch)s FOR KEY SHARE)
RETURNING sha256"""

TAKEN = "SELECT sha256 FROM node_logs WHERE state = 'taken' AND COALESCE(taker, %(taker)s) = %(taker)s"

END = "UPDATE node_logs SET state = 'done' WHERE sha256 = %(sha256)s"

FORGET = "DELETE FROM node_logs WHERE state = 'done' AND at < clock_timestamp() - interval '30 days'"


class LogRow(NamedTuple):
    """A file that the leader has not completed yet."""

    sha256: str
    name: str
    """The name on its node."""
    node: str
    taken: bool
    """Whether a leader has its bytes."""
    taker: str | None
    """The home of that leader; None also for a row that an older retraind has taken."""


def is_known(session: NodeSession, sha256: str) -> bool:
    """Whether a file of this content has been shipped; raises Unavailable."""
    return bool(session.ask(KNOWN, {"sha256": sha256}))


def ship(session: NodeSession, sha256: str, name: str, node: str) -> bool:
    """Record that a file is in the store; False if the leader has not made the table yet. Raises Unavailable."""
    session.ask(SHIP, {"sha256": sha256, "name": name, "node": node})
    return is_known(session, sha256)


def waiting(session: NodeSession) -> Sequence[LogRow]:
    """Some of the files that are not completed, oldest first; raises Unavailable."""
    rows = session.ask(WAITING)
    return [LogRow(row["sha256"], row["name"], row["node"], row["state"] == "taken", row["taker"]) for row in rows]


def taken(session: NodeSession, taker: str) -> set[str]:
    """The files that this home may have taken and has not completed; raises Unavailable."""
    return {row["sha256"] for row in session.ask(TAKEN, {"taker": taker})}


def take(session: NodeSession, sha256: str, epoch: int, taker: str) -> bool:
    """Record that the leader of an epoch, in the home `taker`, has the bytes; False if another leader has started a newer epoch.

    Raises Unavailable.
    """
    return bool(session.ask(TAKE, {"sha256": sha256, "epoch": epoch, "taker": taker}))


def end(session: NodeSession, sha256: str) -> None:
    """Record that a file's object is removed, and delete old rows; raises Unavailable."""
    session.ask(END, {"sha256": sha256})
    session.ask(FORGET)
