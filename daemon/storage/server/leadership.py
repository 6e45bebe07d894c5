"""The leadership of a journal: one row names the process that leads, and its epoch.

Each process that may write the journal starts a new epoch in its first transaction, while it holds the journal's lock.
An epoch protects what is outside of that session from a deposed leader: a later epoch in this row makes an earlier one
invalid. A reader that must not miss a change locks the row with FOR KEY SHARE: the next leader changes the key, so it
waits, but beats do not.

The table does not belong to the journal: it does not move with it. The journal has a copy of the last epoch, because
MLflow's database, which may stay where it is, refuses smaller ones.
"""

from sqlalchemy import Connection, text

from retraind.daemon.core.leader.identity import Leader, Term, reason_of_change
from retraind.daemon.core.leader.leadership import recorded

TABLE = text(
    """
CREATE TABLE IF NOT EXISTS leadership (
    epoch bigint PRIMARY KEY, single boolean NOT NULL DEFAULT true UNIQUE CHECK (single), leader text NOT NULL,
    url text NOT NULL, home text NOT NULL, boot text NOT NULL, pid integer NOT NULL, began timestamptz NOT NULL,
    beat timestamptz, reason text NOT NULL)"""
)

END_READERS = text(
    """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowShareLock' AND relation = 'leadership'::regclass AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"""
)
"""A stopped leader may hold the row in a transaction of MLflow's, and would keep the next one waiting."""

LAST = text("SELECT leader, home, beat IS NOT NULL AS beats FROM leadership FOR UPDATE")

BEHIND = " (behind)"
"""Follows the home of a leader whose files are not up to the journal yet; a kill before that must not be forgotten."""

BEGIN = text(
    """
INSERT INTO leadership (epoch, leader, url, home, boot, pid, began, beat, reason) VALUES (
    :least, :name, :url, :home, :boot, pg_backend_pid(), clock_timestamp(),
    CASE WHEN :beats THEN clock_timestamp() END, :reason)
ON CONFLICT (single) DO UPDATE SET epoch = GREATEST(leadership.epoch + 1, :least), leader = excluded.leader, url = excluded.url,
    home = COALESCE(NULLIF(excluded.home, ''), leadership.home),
    boot = CASE WHEN excluded.home = '' THEN '' ELSE excluded.boot END,
    pid = excluded.pid, began = excluded.began, beat = excluded.beat, reason = excluded.reason
RETURNING epoch, began"""
)

SEEN = text("SELECT value FROM meta WHERE key = 'epoch'")

NOTE = text(
    """
INSERT INTO meta (key, value) VALUES ('epoch', :epoch) ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
)

KEEP = text("UPDATE leadership SET pid = pg_backend_pid() WHERE epoch = :epoch")

SETTLE = text("UPDATE leadership SET home = :home WHERE epoch = :epoch")

EPOCH = text("SELECT epoch FROM leadership")


def begin(connection: Connection, leader: Leader) -> Term:
    """Start the next epoch within the caller's transaction, whose session holds the journal's lock.

    A command, which has no home, leaves the home of the last leader in the row. A home that was overtaken stays behind
    until `settle`.
    """
    connection.execute(TABLE)
    if leader.beats:
        connection.execute(END_READERS)
    last = connection.execute(LAST).mappings().first()
    before = None if last is None else str(last["leader"])
    again = last is not None and last["home"] in (leader.home, leader.home + BEHIND)
    overtaken = last is not None and _overtaken(leader, str(last["home"]), beat=last["beats"])
    reason = reason_of_change(leader, before, again=again)
    values = {"name": leader.name, "url": leader.url, "boot": leader.boot, "beats": leader.beats}
    values["home"] = leader.home + BEHIND if overtaken and leader.home else leader.home
    values["least"] = int(connection.execute(SEEN).scalar() or 0) + 1
    epoch, began = connection.execute(BEGIN, values | {"reason": reason}).one()
    connection.execute(NOTE, {"epoch": str(epoch)})
    return Term(recorded(epoch, leader.name, leader.url, began, reason), overtaken)


def _overtaken(leader: Leader, home: str, *, beat: bool) -> bool:
    """Whether the home of `leader` may lag behind `home`, which led last; `beat`: that had a standby.

    Without standbys, it is the same home under another name, such as that of a new container.
    """
    return home != leader.home and (leader.beats or beat or home.endswith(BEHIND))


def settle(connection: Connection, epoch: int, home: str) -> None:
    """Note that a home which was overtaken is up to the journal."""
    connection.execute(SETTLE, {"epoch": epoch, "home": home})


def keep(connection: Connection, epoch: int) -> bool:
    """Name this session as that of the leader, after a lost connection; False if another epoch has started."""
    return bool(connection.execute(KEEP, {"epoch": epoch}).rowcount)


def current(connection: Connection) -> int | None:
    """The newest epoch; None if there is none."""
    return connection.execute(EPOCH).scalar()
