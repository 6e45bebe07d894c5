"""Batches: every change of the dataset, from its drops to the revision that holds it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from sqlalchemy import Connection, func, or_, select

from retraind.daemon.core.journal_rows import BatchRow, DropRecord, LabelRecord, SegmentRecord
from retraind.daemon.core.states import BatchKind, BatchState, DropState, EventKind, Hold
from retraind.daemon.core.status import utcnow
from retraind.daemon.schema.score_names import counted
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries import labels
from retraind.daemon.storage.entries.events import record_event
from retraind.daemon.storage.journal_tables import batches, drops, held, runs, segments, versions

_NO_DROP: Mapping[str, None] = dict.fromkeys(("reason", "line", "column", "bad_file", "seen_at", "origin"))
"""Defaults of keys that `accept` may omit, because rows that are inserted together need the same keys."""

FIRST_ROWS = 100
"""Rows that the reference begins with at least: a handful of rows must not judge all later versions."""


class Committed(NamedTuple):
    """The newest revision: its rows, DVC's md5 and git commit, and the newest batch that added or removed rows.

    Before the first revision, all but the rows are None.
    """

    rows: int
    dvc_md5: str | None
    revision: str | None
    batch: int | None


class Listed(TypedDict):
    """A committed batch, DVC's md5 of its list of segments, and whether that list is still needed."""

    seq: int
    dvc_md5: str
    needed: bool


class Batches:
    """Batches of drops, merges and erasures, each with the state of the dataset after it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, batch: SegmentRecord, accepted: Sequence[DropRecord], labelled: Sequence[LabelRecord] = ()) -> int:
        """Record that the segment `batch` holds the rows of `accepted` drops; returns its number.

        `labelled` are the late labels among the rows.
        """
        with self._database.writing() as connection:
            seq, now = append(connection, BatchKind.DROPS, batch, batch["rows"]), utcnow()
            facts = {"state": DropState.ACCEPTED, "batch": seq, "decided_at": now}
            connection.execute(drops.insert(), [{**_NO_DROP, **drop, **facts} for drop in accepted])
            labels.insert(connection, labelled, seq, now)
            taken = select(drops.c.sha256).where(drops.c.batch == seq)
            let_in = held.c.sha256.in_(taken) & (held.c.state == Hold.LET_IN)
            for row in connection.execute(select(held.c.sha256, held.c.by).where(let_in)).all():
                here = (drops.c.sha256 == row.sha256) & (drops.c.batch == seq)
                connection.execute(drops.update().where(here).values(decided_by=row.by))
            connection.execute(held.delete().where(held.c.sha256.in_(taken)))
            names = ", ".join(drop["name"] for drop in accepted[:3]) + (", …" if len(accepted) > 3 else "")
            record_event(
                connection, EventKind.ACCEPTED, f"Batch {seq}: {counted(batch['rows'], 'row')} of {names}.", batch=seq
            )
        return seq

    def merge(self, batch: SegmentRecord, sources: Sequence[str]) -> int:
        """Record that the segment of `batch` replaces the segments `sources`; returns the number of this merge."""
        with self._database.writing() as connection:
            old = connection.execute(select(segments).where(segments.c.name.in_(sources))).mappings().all()
            span = {"first": min(each["first"] for each in old), "last": max(each["last"] for each in old)}
            tier = 1 + max(each["tier"] for each in old)
            seq = append(connection, BatchKind.MERGE, batch, 0, replaces=sources, tier=tier, **span)
            message = f"{len(old)} segments became one of {counted(batch['rows'], 'row')}."
            record_event(connection, EventKind.MERGED, message, batch=seq)
        return seq

    def commit(self, seq: int, revision: str, dvc_md5: str) -> None:
        """Record that DVC and git hold every batch up to `seq`."""
        with self._database.writing() as connection:
            values = {"state": BatchState.COMMITTED, "revision": revision, "dvc_md5": dvc_md5, "committed_at": utcnow()}
            connection.execute(batches.update().where(batches.c.seq == seq).values(**values))
            record_event(
                connection,
                EventKind.COMMITTED,
                f"Batch {seq} is revision {revision[:10]} (DVC {dvc_md5[:10]}).",
                batch=seq,
            )

    def revisions(self, after: int, but: int, most: int) -> list[Listed]:
        """Committed batches after number `after` without the newest `but`: seq, dvc_md5, and `needed`.

        The list of a batch is needed if a run, a version or one of the newest batches has the same list: forgetting may
        bring a list back.
        """
        last = select(func.max(batches.c.seq)).scalar_subquery() - but
        newest = batches.alias()
        needed = or_(
            batches.c.dvc_md5.in_(select(runs.c.dvc_md5)),
            batches.c.dvc_md5.in_(select(versions.c.dvc_md5)),
            batches.c.dvc_md5.in_(select(newest.c.dvc_md5).where(newest.c.seq > last)),
        )
        eligible = (batches.c.state == BatchState.COMMITTED) & (batches.c.seq > after) & (batches.c.seq <= last)
        query = select(batches.c.seq, batches.c.dvc_md5, needed.label("needed")).where(eligible)
        return self._database.typed(Listed, query.order_by(batches.c.seq).limit(most))

    def uncommitted(self) -> BatchRow | None:
        """The oldest batch that is accepted but not committed."""
        return self._database.first(
            BatchRow, select(batches).where(batches.c.state == BatchState.ACCEPTED).order_by(batches.c.seq)
        )

    def all(self) -> list[BatchRow]:
        """All batches and merges, oldest first."""
        return self._database.typed(BatchRow, select(batches).order_by(batches.c.seq))

    def last(self) -> int:
        """The number of the newest batch of any kind, committed or not; 0 if there is none."""
        return int(self._database.rows(select(func.coalesce(func.max(batches.c.seq), 0).label("seq")))[0]["seq"])

    def first_rows(self) -> int:
        """Rows of the first batch, without forgotten ones; they begin the dataset, whatever has been merged since.

        If none is left, the rows of the oldest batch that has any.
        """
        return next(iter(self._oldest_rows()), 0)

    def early_rows(self) -> int:
        """Rows of the batches after the first that join it in the reference, because it has fewer than FIRST_ROWS."""
        first, *others = self._oldest_rows() or [0]
        total = first
        for rows in others:
            if total >= FIRST_ROWS:
                break
            total += rows
        return total - first

    def _oldest_rows(self) -> list[int]:
        """The rows, without forgotten ones, of the oldest batches that have any, as many as FIRST_ROWS may need."""
        here = (drops.c.batch == batches.c.seq) & (drops.c.state == DropState.FORGOTTEN)
        gone = select(func.coalesce(func.sum(drops.c.rows_accepted), 0)).where(here).scalar_subquery()
        left = select((batches.c.rows - gone).label("n")).where(
            batches.c.kind == BatchKind.DROPS, batches.c.rows > gone
        )
        return [int(row["n"]) for row in self._database.rows(left.order_by(batches.c.seq).limit(FIRST_ROWS))]

    def newest(self, *kinds: BatchKind) -> BatchRow | None:
        """The newest committed batch of these kinds; by default, of those that added rows."""
        of_kind = (batches.c.state == BatchState.COMMITTED) & batches.c.kind.in_(kinds or (BatchKind.DROPS,))
        return self._database.first(BatchRow, select(batches).where(of_kind).order_by(batches.c.seq.desc()))

    def committed(self) -> Committed:
        """The newest revision."""
        state = batches.c.state == BatchState.COMMITTED
        last = self._database.one(select(batches).where(state).order_by(batches.c.seq.desc()))
        newest = self.newest(BatchKind.DROPS, BatchKind.FORGET)
        if last is None or newest is None:
            return Committed(0, None, None, None)
        return Committed(last["total_rows"], last["dvc_md5"], last["revision"], newest["seq"])


def append(
    connection: Connection,
    kind: BatchKind,
    batch: SegmentRecord,
    added: int,
    replaces: Sequence[str] = (),
    **about: int,
) -> int:
    """Record the next batch and its segment, which `replaces` others, within the caller's transaction.

    Returns its number.
    """
    last = connection.execute(select(batches).order_by(batches.c.seq.desc()).limit(1)).mappings().first()
    seq, total = (last["seq"] + 1, last["total_rows"]) if last else (1, 0)
    sums = {"sha256": batch["sha256"], "md5": batch["md5"]}
    values = {**sums, "segment": batch["segment"], "rows": added, "total_rows": total + added, "kind": kind}
    connection.execute(batches.insert(), {**values, "seq": seq, "state": BatchState.ACCEPTED, "accepted_at": utcnow()})
    if batch["segment"]:
        place = {"tier": batch.get("tier", 0), "first": seq, "last": seq, "born": seq, **about}
        values = {**sums, "name": batch["segment"], "rows": batch["rows"], "bytes": batch["bytes"]}
        connection.execute(segments.insert(), {**values, **place})
    if replaces:
        connection.execute(segments.update().where(segments.c.name.in_(replaces)).values(died=seq))
    return int(seq)
