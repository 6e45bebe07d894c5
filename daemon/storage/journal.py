"""The journal: what happened to every drop, batch, run, version and swap, with reasons.

With `daemon.storage.journal_tables` the only one that knows SQLAlchemy. One connection of one process writes it, and only that one checkpoints:
SQLite before 3.51.3 can corrupt a WAL that two connections checkpoint. Every transition writes its event in the same
transaction, so the history that people read is never ahead of the facts, nor behind.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from sqlalchemy import URL, Connection, Engine, RowMapping, create_engine, event, func, or_, select, text
from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.core.errors import RetraindError, Unavailable
from daemon.core.foundations import Held
from daemon.core.query import ask
from daemon.core.states import ROLLED_BACK, Hold
from daemon.core.status import utcnow
from daemon.schema.score_names import counted
from daemon.storage import journal_retention, journal_tables
from daemon.storage.journal_tables import (
    FORMAT,
    batches,
    drifts,
    drops,
    events,
    exams,
    held,
    labels,
    meta,
    requests,
    runs,
    segments,
    swaps,
    versions,
)

LEVELS = {"trained": "info", "postponed": "warning"}
"""How grave the end of a run is, where it is no error."""

MANY = 500
"""Values in one query: SQLite takes a limited number of them."""

DRIFTS_KEPT, DETAILS_KEPT = 1000, 10
"""Checks for drift that are kept, and those of them with their detail, which is long where columns are many."""


LOOKED_BACK = 10_000
"""Exams among which those that say what is usual are looked for."""

MANY_ROWS = 10_000
"""Rows that are inserted at once: each is held in memory twice meanwhile."""


AT_SWAP = "batch_at_swap"
"""Key of the newest batch of drops when the newest swap was made: events tell it too, but not for ever."""


class Committed(NamedTuple):
    """The newest revision: its rows, DVC's md5 and git commit, and the newest batch that brought or removed rows.

    All but the rows are None before the first one.
    """

    rows: int
    dvc_md5: str | None
    revision: str | None
    batch: int | None


class Journal:
    """The one writer of `journal.db`; every method is one durable transaction (synchronous=FULL)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = engine.connect()
        self._path: Path | None = None
        self._held: tuple[Held, ...] = ()
        self.writes = 0
        """Transactions so far: while it stays the same, so does all that the journal says (there is no other writer)."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the journal; raises RetraindError when a newer retraind wrote it or it can't be used."""
        engine = create_engine(URL.create("sqlite", database=str(path)))
        event.listen(engine, "connect", _configure)
        try:
            journal = cls(engine)
            journal._check(path)
        except DatabaseError as error:
            raise _unusable(path, error.orig) from None
        path.chmod(0o600)
        # SQLite keeps one WAL while a connection is open, and writes on into that, too, when it has lost its name.
        journal._path, journal._held = path, (Held(path), Held(path.with_name(f"{path.name}-wal")))
        return journal

    def _check(self, path: Path) -> None:
        self._keep_old(path)
        with self._writing() as connection:
            found = journal_tables.prepare(connection)
            if found > FORMAT:
                raise RetraindError(
                    f"{path} has format {found}; this retraind knows {FORMAT}.", hint="Install the newer version again."
                )
        problem = self._connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
        self._connection.rollback()
        if problem != "ok":
            raise _unusable(path, problem)

    def _keep_old(self, path: Path) -> None:
        """Before a migration: a copy that the retraind which wrote it can still open."""
        found = self._connection.execute(text("PRAGMA user_version")).scalar_one()
        self._connection.rollback()
        copy = path.with_name(f"{path.name}.format-{found}")
        if 0 < found < FORMAT and not copy.exists():
            self._connection.execute(text("VACUUM INTO :copy"), {"copy": str(copy)})
            self._connection.rollback()

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Iterator[Self]:
        """A journal for reading only, beside the daemon that writes it; raises RetraindError when it can't be used."""
        url = URL.create("sqlite", database=f"{path.absolute().as_uri()}?mode=ro", query={"uri": "true"})
        try:
            with closing(cls(create_engine(url))) as journal:
                journal._refuse_other_formats(path)
                yield journal
        except DatabaseError as error:
            raise _unusable(path, error.orig) from None

    def _refuse_other_formats(self, path: Path) -> None:
        found = self._connection.execute(text("PRAGMA user_version")).scalar_one()
        self._connection.rollback()
        if found != FORMAT:
            hint = "The next `retraind run` migrates it." if found < FORMAT else "Install the newer version again."
            raise RetraindError(f"{path} has format {found}; this retraind reads {FORMAT}.", hint=hint)

    def close(self) -> None:
        """Close the connection; the last one to close folds the WAL into the file."""
        with self._sparing_others():
            self._connection.close()
            self._engine.dispose()

    @contextmanager
    def _sparing_others(self) -> Iterator[None]:
        """Whoever closes last removes the WAL by its name, which may be that of another journal by now."""
        wal = self._path.with_name(f"{self._path.name}-wal") if self._path and self.lost() else None
        if wal is None or not wal.exists():
            yield
            return
        spared = wal.with_name(f"{wal.name}.spared")
        wal.rename(spared)
        try:
            yield
        finally:
            spared.rename(wal)

    def lost(self) -> str | None:
        """Why what is recorded now would be lost: the file is gone, or another has its name."""
        return next(filter(None, (file.lost() for file in self._held)), None)

    def problem(self) -> str | None:
        """Why others don't read what is recorded here; asks the file as they do."""
        if self._path is None or (lost := self.lost()) is not None:
            return None if self._path is None else lost
        own = self._one(select(func.max(events.c.id).label("id")))
        try:
            read = ask(self._path, "SELECT MAX(id) AS id FROM events")
        except sqlite3.Error as error:
            return f"{self._path} can't be read: {error}. Stop the service and restore the home from a backup."
        if own is not None and (not read or read[0]["id"] != own["id"]):
            return f"{self._path} does not give back what was recorded. Restart the service."
        return None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make everything that is recorded inside one transaction: one wait for the disk instead of many."""
        with self._writing():
            yield

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self._connection.in_transaction():
            yield self._connection
            return
        if lost := self.lost():
            raise Unavailable(lost)
        # IMMEDIATE: a deferred transaction that upgrades from reading fails at once, whatever the busy timeout.
        try:
            self._connection.execute(text("BEGIN IMMEDIATE"))
            yield self._connection
            self._connection.commit()
            self.writes += 1
        except OperationalError as error:
            raise Unavailable(f"The journal can't be written: {error.orig}.", hint="Is the disk full?") from None
        finally:
            self._connection.rollback()
            # A commit that is refused may leave SQLite's transaction open, of which SQLAlchemy knows nothing any more.
            self._connection.connection.rollback()

    def _rows(self, query: Any) -> Sequence[RowMapping]:
        inside = self._connection.in_transaction()
        try:
            return self._connection.execute(query).mappings().all()
        except OperationalError as error:
            raise Unavailable(f"The journal can't be read: {error.orig}.") from None
        finally:
            if not inside:
                self._connection.rollback()

    def _one(self, query: Any) -> RowMapping | None:
        found = self._rows(query.limit(1))
        return found[0] if found else None

    # Drops and batches

    def accept(
        self, batch: dict[str, Any], accepted: list[dict[str, Any]], labelled: Sequence[dict[str, Any]] = ()
    ) -> int:
        """Record that `batch` (segment, sha256, md5, rows, bytes, tier) holds the rows of `accepted` drops; returns its number.

        `labelled` are the late labels among the rows: prediction_id, version, prediction, truth, drop.
        """
        with self._writing() as connection:
            seq, now = self._append(connection, "drops", batch, batch["rows"]), utcnow()
            values = [{**_NO_DROP, **drop, "state": "accepted", "batch": seq, "decided_at": now} for drop in accepted]
            connection.execute(drops.insert(), values)
            for start in range(0, len(labelled), MANY_ROWS):
                some = labelled[start : start + MANY_ROWS]
                connection.execute(labels.insert(), [{**label, "batch": seq, "at": now} for label in some])
            taken = select(drops.c.sha256).where(drops.c.batch == seq)
            connection.execute(held.delete().where(held.c.sha256.in_(taken)))
            names = ", ".join(drop["name"] for drop in accepted[:3]) + (", …" if len(accepted) > 3 else "")
            _tell(connection, "accepted", f"Batch {seq}: {counted(batch['rows'], 'row')} of {names}.", batch=seq)
        return seq

    def merge(self, batch: dict[str, Any], sources: Sequence[str]) -> int:
        """Record that the segment of `batch` replaces the segments `sources`; returns the number of this merge."""
        with self._writing() as connection:
            old = connection.execute(select(segments).where(segments.c.name.in_(sources))).mappings().all()
            span = {"first": min(one["first"] for one in old), "last": max(one["last"] for one in old)}
            seq = self._append(connection, "merge", batch, 0, tier=1 + max(one["tier"] for one in old), **span)
            connection.execute(segments.update().where(segments.c.name.in_(sources)).values(died=seq))
            _tell(
                connection, "merged", f"{len(old)} segments became one of {counted(batch['rows'], 'row')}.", batch=seq
            )
        return seq

    def forget(self, drop: Mapping[str, Any], old: str, removed: int, rest: dict[str, Any] | None, by: str) -> int:
        """Record that an accepted drop's `removed` rows have gone with segment `old`; returns the number of this batch.

        `rest` is the segment of the other rows, with their `first` and `last` batch; None: there were none. The drop's late
        labels go too, and what was noted of its bad cells.
        """
        nothing = {"segment": "", "sha256": "", "md5": ""}
        with self._writing() as connection:
            tier = connection.execute(select(segments.c.tier).where(segments.c.name == old)).scalar_one()
            span = {key: rest[key] for key in ("first", "last")} if rest else {}
            seq = self._append(connection, "forget", rest or nothing, -removed, tier=tier, **span)
            connection.execute(segments.update().where(segments.c.name == old).values(died=seq))
            gone = {"state": "forgotten", "forgotten_in": seq, "forgotten_at": utcnow(), "forgotten_by": by}
            gone |= dict.fromkeys(("reason", "line", "column", "bad_file"))
            connection.execute(drops.update().where(drops.c.id == drop["id"]).values(**gone))
            # Known until they are purged from the history: the labels' own rows forget them now.
            ids = (
                connection.execute(select(labels.c.prediction_id).where(labels.c.drop == drop["sha256"]))
                .scalars()
                .all()
            )
            if ids:
                remembered = {"key": _predictions_key(drop), "value": json.dumps(ids)}
                connection.execute(meta.insert().prefix_with("OR REPLACE"), remembered)
            # Their rows stay, empty, because the number of labels that have come must not fall.
            empty = {
                "prediction_id": text("'forgotten-' || rowid"),
                "version": 0,
                "prediction": "",
                "truth": "",
                "drop": "",
            }
            connection.execute(labels.update().where(labels.c.drop == drop["sha256"]).values(**empty))
            told = (events.c.drop == drop["sha256"]) & events.c.kind.in_(("quarantined", "suspicious"))
            connection.execute(events.delete().where(told))
            # What was found stays in the series, without what it was found of.
            nameless = {"drop": "", "name": "", "shifts": "{}", "reason": ""}
            connection.execute(exams.update().where(exams.c.drop == drop["sha256"]).values(**nameless))
            _tell(
                connection,
                "forgotten",
                f"Batch {seq}: {counted(removed, 'row')} of {drop['name']} forgotten ({by}).",
                level="warning",
                drop=drop["sha256"],
                batch=seq,
            )
        return seq

    def _append(self, connection: Connection, kind: str, batch: dict[str, Any], added: int, **about: int) -> int:
        last = connection.execute(select(batches).order_by(batches.c.seq.desc()).limit(1)).mappings().first()
        seq, total = (last["seq"] + 1, last["total_rows"]) if last else (1, 0)
        facts = {"sha256": batch["sha256"], "md5": batch["md5"]}
        values = {**facts, "segment": batch["segment"], "rows": added, "total_rows": total + added, "kind": kind}
        connection.execute(batches.insert(), {**values, "seq": seq, "state": "accepted", "accepted_at": utcnow()})
        if batch["segment"]:
            place = {"tier": batch.get("tier", 0), "first": seq, "last": seq, "born": seq, **about}
            values = {**facts, "name": batch["segment"], "rows": batch["rows"], "bytes": batch["bytes"]}
            connection.execute(segments.insert(), {**values, **place})
        return int(seq)

    def refuse(self, drop: dict[str, Any], state: str, message: str, *, batch: int | None = None) -> None:
        """Record a drop that adds nothing: `rejected` (with reason) or `duplicate` (of a drop in `batch`)."""
        with self._writing() as connection:
            connection.execute(drops.insert(), {**drop, "state": state, "batch": batch, "decided_at": utcnow()})
            let_in = (held.c.sha256 == drop["sha256"]) & (held.c.state == Hold.LET_IN)
            connection.execute(held.delete().where(let_in))
            level = "warning" if state == "rejected" and not drop.get("decided_by") else "info"
            _tell(connection, state, message, level=level, drop=drop["sha256"], batch=batch)

    def examined(self, found: Sequence[Mapping[str, Any]], batch: int) -> None:
        """Record the exams of a batch's drops; a suspicious one is an event. Part of the transaction that accepts the batch."""
        with self._writing() as connection:
            at = utcnow()
            if found:
                connection.execute(exams.insert(), [{**exam, "batch": batch, "at": at} for exam in found])
            for exam in found:
                if exam["suspicious"]:
                    told = f"{exam['name']} is suspicious: {exam['reason']}. It was accepted all the same."
                    _tell(connection, "suspicious", told, level="warning", drop=exam["drop"], batch=batch)

    def exams(self, most: int) -> Sequence[RowMapping]:
        """The newest exams, newest first."""
        return self._rows(select(exams).order_by(exams.c.id.desc()).limit(most))

    def telling_exams(self, most: int) -> Sequence[RowMapping]:
        """The newest that say what is usual, newest first: not those of small drops together, nor those of forgotten ones.

        Only the newest LOOKED_BACK are looked at: a home that gets single rows has an exam of no drop with each batch.
        """
        newest = select(func.coalesce(func.max(exams.c.id), 0)).scalar_subquery()
        telling = (exams.c.id > newest - LOOKED_BACK) & (exams.c.drop != "")
        return self._rows(select(exams).where(telling).order_by(exams.c.id.desc()).limit(most))

    # Drops that wait for a person

    def hold(self, drop: Mapping[str, Any]) -> None:
        """Record that a suspicious drop (sha256, name, bytes, rows_read, version, reason, seen_at) waits for a person."""
        with self._writing() as connection:
            connection.execute(held.insert(), {**drop, "state": Hold.WAITING, "held_at": utcnow()})
            told = (
                f"{drop['name']} is suspicious: {drop['reason']}. It waits for `retraind accept` or `retraind reject`."
            )
            _tell(connection, "suspicious", told, level="warning", drop=drop["sha256"])

    def held_drops(self) -> Sequence[RowMapping]:
        """Drops that wait, or were decided a moment ago and have not gone yet; oldest first."""
        return self._rows(select(held).order_by(held.c.held_at, held.c.sha256))

    def held_states(self, sha256s: Iterable[str]) -> dict[str, RowMapping]:
        """Those of them with these bytes."""
        return {row["sha256"]: row for row in self._among(select(held), held.c.sha256, sha256s)}

    def decide_held(self, sha256: str, state: Hold, by: str) -> None:
        """Record what a person has said of a drop that waits."""
        with self._writing() as connection:
            connection.execute(held.update().where(held.c.sha256 == sha256).values(state=state, by=by))

    def rename_held(self, sha256: str, name: str) -> None:
        """Record that a drop that waits has another name now."""
        with self._writing() as connection:
            connection.execute(held.update().where(held.c.sha256 == sha256).values(name=name))

    def forget_held(self, sha256: str) -> None:
        """Remove the record of a held drop, and its events: both quote labels, and rows of it are to be forgotten."""
        with self._writing() as connection:
            connection.execute(held.delete().where(held.c.sha256 == sha256))
            quoting = (events.c.drop == sha256) & (events.c.kind == "suspicious")
            connection.execute(events.delete().where(quoting))

    def strike_off(self, drop: Mapping[Any, Any], *, told: bool) -> None:
        """Record that a held drop is no longer in the inbox; `told`: it had not been decided, so say it."""
        with self._writing() as connection:
            connection.execute(held.delete().where(held.c.sha256 == drop["sha256"]))
            if told:
                gone = f"{drop['name']} waited to be accepted and is no longer in the inbox. Nothing of it was taken."
                _tell(connection, "suspicious", gone, level="warning", drop=drop["sha256"])

    # Revisions

    def commit(self, seq: int, revision: str, dvc_md5: str) -> None:
        """Record that DVC and git hold every batch up to `seq`."""
        with self._writing() as connection:
            values = {"state": "committed", "revision": revision, "dvc_md5": dvc_md5, "committed_at": utcnow()}
            connection.execute(batches.update().where(batches.c.seq == seq).values(**values))
            _tell(connection, "committed", f"Batch {seq} is revision {revision[:10]} (DVC {dvc_md5[:10]}).", batch=seq)

    def revisions(self, after: int, but: int, most: int) -> Sequence[RowMapping]:
        """Committed batches after number `after` without the newest `but`: seq, dvc_md5, and whether it is `needed`.

        That is, whether a run or version or one of the newest has that list of segments, too: forgetting may bring one back.
        """
        last = select(func.max(batches.c.seq)).scalar_subquery() - but
        newest = batches.alias()
        needed = or_(
            batches.c.dvc_md5.in_(select(runs.c.dvc_md5)),
            batches.c.dvc_md5.in_(select(versions.c.dvc_md5)),
            batches.c.dvc_md5.in_(select(newest.c.dvc_md5).where(newest.c.seq > last)),
        )
        wanted = (batches.c.state == "committed") & (batches.c.seq > after) & (batches.c.seq <= last)
        query = select(batches.c.seq, batches.c.dvc_md5, needed.label("needed")).where(wanted)
        return self._rows(query.order_by(batches.c.seq).limit(most))

    def uncommitted(self) -> RowMapping | None:
        """The oldest batch that is accepted but not committed."""
        return self._one(select(batches).where(batches.c.state == "accepted").order_by(batches.c.seq))

    def batches(self) -> Sequence[RowMapping]:
        """All batches and merges, oldest first."""
        return self._rows(select(batches).order_by(batches.c.seq))

    def last_batch(self) -> int:
        """The number of the newest batch of any kind, committed or not; 0: there is none."""
        return int(self._rows(select(func.coalesce(func.max(batches.c.seq), 0).label("seq")))[0]["seq"])

    def first_rows(self) -> int:
        """Rows of the first batch, less what was forgotten: they begin the dataset, whatever has been merged since.

        If nothing is left of it, the oldest batch of which something is.
        """
        here = (drops.c.batch == batches.c.seq) & (drops.c.state == "forgotten")
        gone = select(func.coalesce(func.sum(drops.c.rows_accepted), 0)).where(here).scalar_subquery()
        left = select((batches.c.rows - gone).label("n")).where(batches.c.kind == "drops", batches.c.rows > gone)
        first = self._one(left.order_by(batches.c.seq))
        return 0 if first is None else int(first["n"])

    def newest_batch(self, *kinds: str) -> RowMapping | None:
        """The newest committed batch of these kinds; without any, the newest that brought rows."""
        wanted = (batches.c.state == "committed") & batches.c.kind.in_(kinds or ("drops",))
        return self._one(select(batches).where(wanted).order_by(batches.c.seq.desc()))

    def committed(self) -> Committed:
        """The newest revision."""
        last = self._one(select(batches).where(batches.c.state == "committed").order_by(batches.c.seq.desc()))
        newest = self.newest_batch("drops", "forget")
        if last is None or newest is None:
            return Committed(0, None, None, None)
        return Committed(last["total_rows"], last["dvc_md5"], last["revision"], newest["seq"])

    def segments(self) -> Sequence[RowMapping]:
        """The segments that the dataset consists of, in the order of their batches."""
        return self._rows(select(segments).where(segments.c.died.is_(None)).order_by(segments.c.first))

    def has_segment(self, name: str) -> bool:
        """Whether a segment of this name is on record, part of the dataset or replaced."""
        return self._one(select(segments.c.name).where(segments.c.name == name)) is not None

    def replaced(self, names: Iterable[str]) -> set[str]:
        """Which of `names` are segments that a merge or forgetting has replaced."""
        gone = select(segments.c.name).where(segments.c.died.is_not(None))
        return {row["name"] for row in self._among(gone, segments.c.name, names)}

    def batches_of(self, sha256s: Iterable[str]) -> dict[str, int]:
        """The batch that holds the drop with these bytes, for those that one holds."""
        query = select(drops.c.sha256, drops.c.batch).where(drops.c.state == "accepted")
        return {row["sha256"]: row["batch"] for row in self._among(query, drops.c.sha256, sha256s)}

    def rejection(self, name: str, sha256: str) -> dict[str, Any] | None:
        """The newest record of a file of this name and bytes that was refused whole."""
        same = (drops.c.sha256 == sha256) & (drops.c.name == name) & (drops.c.state == "rejected")
        record = self._one(select(drops).where(same).order_by(drops.c.id.desc()))
        return None if record is None else dict(record)

    def drop(self, sha256: str) -> dict[str, Any] | None:
        """The drop with these bytes whose rows the dataset holds, or held until they were forgotten."""
        found = self._one(select(drops).where(drops.c.sha256 == sha256, drops.c.state.in_(("accepted", "forgotten"))))
        return None if found is None else dict(found)

    def forgotten(self, sha256s: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The drops with these bytes whose rows were forgotten."""
        query = select(drops).where(drops.c.state == "forgotten")
        return {row["sha256"]: dict(row) for row in self._among(query, drops.c.sha256, sha256s)}

    def has_forgotten(self, batch: int) -> bool:
        """Whether rows of a revision up to this batch have been forgotten since: no training on it saw those that came later."""
        gone = (drops.c.state == "forgotten") & (drops.c.batch <= batch) & (drops.c.forgotten_in > batch)
        return self._one(select(drops.c.id).where(gone)) is not None

    def trained_on(self, drop: Mapping[str, Any]) -> bool:
        """Whether any training was given the rows of a drop, whatever came of it."""
        until = drop["forgotten_in"] if drop["forgotten_in"] is not None else 2**62
        given = runs.c.batch.is_(None) | ((runs.c.batch >= drop["batch"]) & (runs.c.batch < until))
        return self._one(select(runs.c.id).where(given)) is not None

    def holders(self, drop: Mapping[str, Any]) -> list[RowMapping]:
        """Every segment that has held rows of a forgotten drop, none of which is part of the dataset any more."""
        found, born = [], drop["batch"]
        while born != drop["forgotten_in"]:
            segment = self._one(select(segments).where(segments.c.born == born))
            assert segment is not None
            found.append(segment)
            born = segment["died"]  # what it died for took its rows over
        return found

    def predictions_of(self, drop: Mapping[str, Any]) -> list[str]:
        """Ids of the predictions that a drop has labelled; of one that was forgotten, until they are purged, too."""
        if drop["state"] == "accepted":
            found = self._rows(select(labels.c.prediction_id).where(labels.c.drop == drop["sha256"]))
            return [row["prediction_id"] for row in found]
        return self.get(_predictions_key(drop)) or []

    def forget_predictions(self, drop: Mapping[str, Any]) -> None:
        """No longer know which predictions a drop has labelled: they are purged."""
        with self._writing() as connection:
            connection.execute(meta.delete().where(meta.c.key == _predictions_key(drop)))

    def refused_after(self, drop: Mapping[str, Any]) -> set[str]:
        """What was refused after a drop was taken: sha256s of files refused whole, names of files with refused rows."""
        later = drops.c.decided_at > drop["decided_at"]
        whole = self._rows(select(drops.c.sha256).where(later, drops.c.state == "rejected"))
        parts = self._rows(select(drops.c.bad_file).where(later, drops.c.bad_file.is_not(None)))
        return {row["sha256"] for row in whole} | {row["bad_file"] for row in parts}

    def blank_refused(self, sha256: str) -> None:
        """Remove what a refused drop's record and its events quote of its cells."""
        with self._writing() as connection:
            mine = (drops.c.sha256 == sha256) & (drops.c.state == "rejected")
            values = {"reason": "It held rows that were forgotten.", "line": None, "column": None}
            connection.execute(drops.update().where(mine).values(**values))
            quoting = (events.c.drop == sha256) & events.c.kind.in_(("rejected", "suspicious"))
            connection.execute(events.delete().where(quoting))

    def fold(self) -> None:
        """Bring the WAL into the file and empty it: what was removed is in neither then, unless somebody reads meanwhile."""
        self._connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        self._connection.rollback()

    def drops_in(self, seq: int) -> Sequence[RowMapping]:
        """The accepted drops of one batch."""
        return self._rows(select(drops).where(drops.c.batch == seq, drops.c.state == "accepted"))

    def labelled(self, predictions: Iterable[str]) -> dict[str, str]:
        """The truth that is known of predictions, by id."""
        query = select(labels.c.prediction_id, labels.c.truth)
        return {row["prediction_id"]: row["truth"] for row in self._among(query, labels.c.prediction_id, predictions)}

    def _among(self, query: Any, column: Any, values: Iterable[str]) -> Iterator[RowMapping]:
        wanted = list(values)
        for start in range(0, len(wanted), MANY):
            yield from self._rows(query.where(column.in_(wanted[start : start + MANY])))

    # Runs

    def start_run(self, reason: str, revision: str, dvc_md5: str, rows: int, batch: int | None = None) -> int:
        """Record a training *before* it starts, so that one that kills everything is not tried at once again."""
        with self._writing() as connection:
            values = {"reason": reason, "revision": revision, "dvc_md5": dvc_md5, "rows": rows, "batch": batch}
            values |= {"state": "started", "started_at": utcnow()}
            connection.execute(runs.insert(), values)
            run = int(connection.execute(select(func.max(runs.c.id))).scalar_one())
            _tell(connection, "training", f"Training {run} on {counted(rows, 'row')}: {reason}.", run=run)
        return run

    def end_run(
        self, run: int, state: str, detail: str, *, version: int | None = None, seconds: float | None = None
    ) -> None:
        """Record how a training ended: `trained`, `postponed` (its rows can teach nothing yet), `failed` or `abandoned`."""
        with self._writing() as connection:
            values = {"state": state, "detail": detail, "version": version, "ended_at": utcnow(), "seconds": seconds}
            connection.execute(runs.update().where(runs.c.id == run).values(**values))
            level = LEVELS.get(state, "error")
            _tell(connection, state, f"Training {run} {state}: {detail}", level=level, run=run, version=version)

    def open_runs(self) -> Sequence[RowMapping]:
        """Runs that have started and not ended."""
        return self._rows(select(runs).where(runs.c.state == "started").order_by(runs.c.id))

    def setbacks(self) -> int:
        """How many of the newest ended runs in a row came to nothing."""
        trained = select(func.coalesce(func.max(runs.c.id), 0)).where(runs.c.state == "trained").scalar_subquery()
        ended = select(func.count().label("n")).where(runs.c.state.in_(("failed", "abandoned")), runs.c.id > trained)
        return int(self._rows(ended)[0]["n"])

    def last_run(self, state: str | None = None, because: Sequence[str] = ()) -> RowMapping | None:
        """The newest run; only those in `state`, and only those whose reason begins like one of `because`, if given."""
        query = select(runs).order_by(runs.c.id.desc())
        query = query if state is None else query.where(runs.c.state == state)
        begins = [runs.c.reason.startswith(one, autoescape=True) for one in because]
        return self._one(query.where(or_(*begins)) if begins else query)

    # Versions and swaps

    def judge(self, version: dict[str, Any], state: str, reason: str) -> None:
        """Record a version with its verdict: `promoted`, `refused` or `held`; a later verdict replaces an earlier one."""
        with self._writing() as connection:
            connection.execute(versions.delete().where(versions.c.version == version["version"]))
            connection.execute(versions.insert(), {**version, "state": state, "reason": reason, "judged_at": utcnow()})
            level = "info" if state in ("promoted", "held") else "warning"
            _tell(
                connection,
                state,
                f"Version {version['version']} {state}: {reason}",
                level=level,
                version=version["version"],
            )

    def mark_unservable(self, version: int, reason: str) -> None:
        """Record that a version which should be served can't be."""
        with self._writing() as connection:
            update = versions.update().where(versions.c.version == version)
            connection.execute(update.values(state="unservable", reason=reason))
            _tell(
                connection, "unservable", f"Version {version} is not served: {reason}", level="error", version=version
            )

    def version(self, version: int) -> RowMapping | None:
        """One version, or None if it has no verdict yet."""
        return self._one(select(versions).where(versions.c.version == version))

    def roll_back(self, version: int, reason: str) -> None:
        """Record that late labels tell against the served version, before another takes its place."""
        with self._writing() as connection:
            update = versions.update().where(versions.c.version == version)
            connection.execute(update.values(state=ROLLED_BACK, reason=reason, judged_at=utcnow()))
            _tell(connection, ROLLED_BACK, f"Version {version} rolled back: {reason}", level="warning", version=version)

    def versions(self, limit: int | None = None) -> Sequence[RowMapping]:
        """Judged versions, newest first; all of them without a limit."""
        return self._rows(select(versions).order_by(versions.c.version.desc()).limit(limit))

    def judged(self) -> int:
        """How many versions have a verdict."""
        return int(self._rows(select(func.count().label("n")).select_from(versions))[0]["n"])

    def held(self, before: int) -> Sequence[RowMapping]:
        """Versions with a smaller number that wait for a person, oldest first."""
        wanted = (versions.c.state == "held") & (versions.c.version < before)
        return self._rows(select(versions).where(wanted).order_by(versions.c.version))

    def promoted(self, limit: int, chosen: int = 0, after: int = 0) -> Sequence[RowMapping]:
        """The newest promoted versions, newest first: those with a larger number than `after`, and `chosen`."""
        wanted = (versions.c.version > after) | (versions.c.version == chosen)
        query = select(versions).where(versions.c.state == "promoted", wanted)
        return self._rows(query.order_by(versions.c.version.desc()).limit(limit))

    def swap(self, version: int, previous: int | None, reason: str) -> None:
        """Record that the pointer names `version` from now on."""
        with self._writing() as connection:
            connection.execute(
                swaps.insert(), {"version": version, "previous": previous, "reason": reason, "at": utcnow()}
            )
            newest = select(func.coalesce(func.max(batches.c.seq), 0)).where(batches.c.kind == "drops")
            self.put(AT_SWAP, int(connection.execute(newest).scalar_one()))
            _tell(connection, "serving", f"Version {version} is served: {reason}", version=version)

    def was_served(self, version: int) -> bool:
        """Whether a version has ever been served."""
        return self._one(select(swaps.c.id).where(swaps.c.version == version)) is not None

    def last_swap(self) -> RowMapping | None:
        """The newest swap."""
        return self._one(select(swaps).order_by(swaps.c.id.desc()))

    def batch_at_swap(self) -> int:
        """The newest batch of drops when the newest swap was made, 0 if there was none."""
        noted = self.get(AT_SWAP)
        return self._batch_told_before_swap() if noted is None else int(noted)

    def _batch_told_before_swap(self) -> int:
        """The same by the events, for a journal from before it was noted."""
        before = (events.c.kind == "accepted") & (events.c.id < _NEWEST_SWAP)
        found = self._one(select(events.c.batch).where(before).order_by(events.c.id.desc()))
        return 0 if found is None else int(found["batch"])

    def rolled_back_since_swap(self, version: int) -> bool:
        """Whether a version was rolled back after the newest swap."""
        told = (events.c.kind == ROLLED_BACK) & (events.c.version == version)
        return self._one(select(events.c.id).where(told, events.c.id > _NEWEST_SWAP)) is not None

    # Drift

    def drift(self, check: dict[str, Any]) -> None:
        """Record a check for drift: version, n, drifted, state, alarm, reason, detail; an alarm that starts or ends is an event."""
        with self._writing() as connection:
            last = self.last_drift()
            connection.execute(drifts.insert(), {**check, "at": utcnow()})
            newest = int(connection.execute(select(func.max(drifts.c.id))).scalar_one())
            connection.execute(drifts.delete().where(drifts.c.id <= newest - DRIFTS_KEPT))
            old = (drifts.c.id <= newest - DETAILS_KEPT) & drifts.c.detail.is_not(None)
            connection.execute(drifts.update().where(old).values(detail=None))
            if bool(last and last["alarm"]) != bool(check["alarm"]):
                level, prefix = ("warning", "") if check["alarm"] else ("info", "The alarm for drift has ended: ")
                _tell(connection, "drift", prefix + check["reason"], level=level, version=check["version"])

    def last_drift(self) -> RowMapping | None:
        """The newest check for drift; if its `alarm` is set, `reason` says why the model may not fit its inputs any more."""
        return self._one(select(drifts).order_by(drifts.c.id.desc()))

    # Requests, events, facts

    def take_request(self, request: str, kind: str, detail: str, at: str) -> None:
        """Take a request over from its file; a request that is already known stays as it is."""
        with self._writing() as connection:
            values = {"id": request, "kind": kind, "state": "queued", "detail": detail, "at": at}
            connection.execute(requests.insert().prefix_with("OR IGNORE"), values)

    def request(self, request: str) -> RowMapping | None:
        """One request, or None if the loop has not taken it over yet."""
        return self._one(select(requests).where(requests.c.id == request))

    def queued_requests(self) -> Sequence[RowMapping]:
        """Requests not yet answered, oldest first."""
        return self._rows(select(requests).where(requests.c.state == "queued").order_by(requests.c.at))

    def end_request(self, request: str, state: str, detail: str) -> None:
        """Answer a request: `done` or `refused`, with the reason."""
        with self._writing() as connection:
            values = {"state": state, "detail": detail, "ended_at": utcnow()}
            connection.execute(requests.update().where(requests.c.id == request).values(**values))
            level = "info" if state == "done" else "warning"
            _tell(connection, "request", f"Request {request[:8]} {state}: {detail}", level=level)

    def tell(self, kind: str, message: str, *, level: str = "info", **about: Any) -> None:
        """Record an event that changes nothing else."""
        with self._writing() as connection:
            _tell(connection, kind, message, level=level, **about)

    def trim(self, keep: int) -> int:
        """Remove some of the events and ended requests beyond the newest `keep` of each sort; returns how many rows."""
        due = journal_retention.overdue(self._connection, keep)
        self._connection.rollback()
        if not due:
            return 0
        with self._writing() as connection:
            if self.get(AT_SWAP) is None:
                self.put(AT_SWAP, self._batch_told_before_swap())
            return sum(journal_retention.remove(connection, *one) for one in due)

    def get(self, key: str) -> Any:
        """A remembered value (JSON), or None."""
        found = self._one(select(meta.c.value).where(meta.c.key == key))
        return None if found is None else json.loads(found["value"])

    def put(self, key: str, value: Any) -> None:
        """Remember a JSON value."""
        with self._writing() as connection:
            connection.execute(meta.insert().prefix_with("OR REPLACE"), {"key": key, "value": json.dumps(value)})


def _predictions_key(drop: Mapping[str, Any]) -> str:
    return f"predictions_of:{drop['sha256']}"


_NO_DROP: Mapping[str, Any] = {"reason": None, "line": None, "column": None, "bad_file": None, "seen_at": None}
"""What `accept` may leave out; many rows inserted at once must all have the same keys."""


_NEWEST_SWAP = select(func.max(events.c.id)).where(events.c.kind == "serving").scalar_subquery()
"""The newest swap among the events, whose numbers say what came first: the clock may have been set back in between."""


def _unusable(path: Path, problem: object) -> RetraindError:
    hint = "If it is damaged, restore it from a backup; the data is not affected."
    return RetraindError(f"{path} can't be used: {problem}.", hint=hint)


def _tell(connection: Connection, kind: str, message: str, *, level: str = "info", **about: Any) -> None:
    connection.execute(events.insert(), {"at": utcnow(), "kind": kind, "level": level, "message": message, **about})


def _configure(dbapi: Any, _record: Any) -> None:
    # SQLAlchemy's own BEGIN is deferred; isolation_level None leaves transactions to `_writing`.
    dbapi.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "mmap_size=0", "secure_delete=ON"):
        dbapi.execute(f"PRAGMA {pragma}")
