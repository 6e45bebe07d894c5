"""The session of a serving node on the journal's server: it reads the desired row and writes its own.

A leader reads all of these. It commits each statement, and ends with the first error; then the caller opens another
one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.rows import dict_row

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.core.node.messages import Desired, NodeReport

ANSWER_MILLISECONDS = 5_000
"""Maximum duration of a statement."""

RIGHTS = "examples/node-role.sql grants a node's role what it needs, after the leader's first start."

DESIRED = "SELECT * FROM desired"
"""All columns, because those of a later release may be missing."""

REPORT = """
INSERT INTO nodes (name, generation, state, version, problem, at, shipped)
VALUES (%(name)s, %(generation)s, %(state)s, %(version)s, %(problem)s, clock_timestamp(),
    clock_timestamp() - %(unshipped)s * interval '1 second')
ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, state = excluded.state, version = excluded.version,
    problem = excluded.problem, at = excluded.at, shipped = excluded.shipped"""

REPORTS = """
SELECT name, generation, state, version, problem, EXTRACT(epoch FROM clock_timestamp() - at)::float8 AS age,
    EXTRACT(epoch FROM clock_timestamp() - COALESCE(shipped, at))::float8 AS unshipped FROM nodes
WHERE at > clock_timestamp() - interval '1 hour' ORDER BY name"""
"""Nodes that have not reported for this long are not shown."""


class NodeSession:
    """One connection; its problems are raised as Unavailable."""

    def __init__(self, url: str, name: str) -> None:
        """Connect to the server of `url`, which shows the session as `name`; raises Unavailable."""
        address = url.replace(journal_address.SCHEME, "postgresql", 1)
        with _translated():
            parameters = psycopg.conninfo.conninfo_to_dict(address)
            options: dict[str, Any] = {"application_name": name[:63], **journal_server.PATIENCE, **parameters}
            self._connection = psycopg.connect("", autocommit=True, row_factory=dict_row, **options)
        try:
            self.ask(f"SET statement_timeout = {ANSWER_MILLISECONDS}")
        except Unavailable:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        with suppress(psycopg.Error):
            self._connection.close()

    def listen(self, channel: str) -> None:
        """Make `wait` end at each notification of a channel."""
        self.ask(f"LISTEN {channel}")

    def wait(self, seconds: float) -> bool:
        """Wait for a notification for at most `seconds`; returns whether there was one. Raises Unavailable."""
        with _translated():
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))

    def desired(self) -> Desired | None:
        """The desired row; None if no leader has written one yet."""
        rows = self.ask(DESIRED)
        return Desired.model_validate(rows[0]) if rows else None

    def version(self, number: int) -> Mapping[str, Any] | None:
        """The journal's row of a version."""
        rows = self.ask("SELECT * FROM versions WHERE version = %(version)s", {"version": number})
        return rows[0] if rows else None

    def report(self, report: NodeReport, *, news: bool) -> None:
        """Write a node's own row; with `news`, notify the leader at once."""
        self.ask(REPORT, report.model_dump(mode="json"))
        if news:
            self.ask("SELECT pg_notify('retraind_nodes', '')")

    def leave(self, name: str) -> None:
        """Remove a node's own row when it ends."""
        self.ask("DELETE FROM nodes WHERE name = %(name)s", {"name": name})

    def reports(self) -> tuple[NodeReport, ...]:
        """The reports of all nodes, by name."""
        return tuple(NodeReport.model_validate(row) for row in self.ask(REPORTS))

    def ask(self, statement: str, values: Mapping[str, Any] | None = None) -> Sequence[Mapping[str, Any]]:
        """The rows of a statement; none if the tables do not exist yet. Raises Unavailable."""
        with _translated():
            try:
                cursor = self._connection.execute(statement.encode(), values)
            except psycopg.errors.UndefinedTable:
                return []
            return cursor.fetchall() if cursor.description else []


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        reason = " ".join(str(error).split()).rstrip(".")
        hint = RIGHTS if isinstance(error, psycopg.errors.InsufficientPrivilege) else ""
        raise Unavailable(f"The journal's server can't be asked: {reason}.", hint=hint) from None
