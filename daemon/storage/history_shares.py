"""Shares of the history: how many predictions of each caller it holds, and whose oldest give way when there are too many.

Callers are tokens, `anonymous` for all who have none, and an empty name for the programs of this machine.
"""

import sqlite3

TABLES = """
BEGIN IMMEDIATE;
CREATE INDEX IF NOT EXISTS predictions_caller ON predictions (caller, seq);
CREATE TABLE IF NOT EXISTS shares (caller TEXT PRIMARY KEY, n INTEGER NOT NULL);
DELETE FROM shares;
INSERT INTO shares SELECT caller, COUNT(*) FROM predictions GROUP BY caller;
CREATE TRIGGER IF NOT EXISTS predictions_came AFTER INSERT ON predictions BEGIN
    INSERT INTO shares VALUES (new.caller, 1) ON CONFLICT (caller) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS predictions_went AFTER DELETE ON predictions BEGIN
    UPDATE shares SET n = n - 1 WHERE caller = old.caller;
END;
COMMIT;
"""
"""Kept up by the database itself, whoever removes rows; counted again when it is opened."""

CALLER = "ALTER TABLE predictions ADD COLUMN caller TEXT NOT NULL DEFAULT ''"
LARGEST = "SELECT caller, n, (SELECT SUM(n) FROM shares) FROM shares ORDER BY n DESC LIMIT 2"
GIVE_WAY = "DELETE FROM predictions WHERE seq IN (SELECT seq FROM predictions WHERE caller = ? ORDER BY seq LIMIT ?)"


def prepare(connection: sqlite3.Connection) -> None:
    """Make what this needs of a history that has the table of predictions, also one from before there were callers."""
    if not any(column[1] == "caller" for column in connection.execute("PRAGMA table_info(predictions)")):
        connection.execute(CALLER)
    connection.executescript(TABLES)


def trim(connection: sqlite3.Connection, keep: int, most: int) -> None:
    """Remove what is beyond `keep` rows, at most about `most` of them: the oldest of whoever has the most.

    So who predicts a lot pushes out their own predictions only, and late labels for those of others go on being known.
    """
    while most > 0 and (rows := connection.execute(LARGEST).fetchall()):
        (caller, count, total), second = rows[0], rows[1][1] if len(rows) > 1 else 0
        excess = min(total - keep, most)
        if excess <= 0:
            return
        # Down to the second, and a bit further, or two that have the same would take turns row by row.
        gone = min(excess, max(count - second, 1 + excess // 16))
        with connection:
            connection.execute(GIVE_WAY, (caller, gone))
        most -= gone
