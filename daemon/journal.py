"""The journal: what happened to every drop, batch, run, version and swap, with reasons.

Level 3, the only module that knows SQLAlchemy. One connection of one process writes it, and only that one checkpoints:
SQLite before 3.51.3 can corrupt a WAL that two connections checkpoint. Every transition writes its event in the same
transaction, so the history that people read is never ahead of the facts, nor behind.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.errors import RetraindError, Unavailable
from daemon.status import utcnow

FORMAT = 1
"""`PRAGMA user_version` of the tables below; a journal with a larger one was written by a newer retraind."""

_tables = MetaData()

drops = Table(
    "drops",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("sha256", String, index=True, nullable=False),
    Column("name", String, index=True, nullable=False),
    Column("source", String, nullable=False),  # file | http
    Column("bytes", Integer, nullable=False),
    Column("state", String, nullable=False),  # accepted | rejected | duplicate
    Column("rows_read", Integer, nullable=False, default=0),
    Column("rows_accepted", Integer, nullable=False, default=0),
    Column("rows_refused", Integer, nullable=False, default=0),
    Column("reason", String),
    Column("line", Integer),
    Column("column", String),
    Column("batch", Integer, index=True),
    Column("settled_at", String, nullable=False),
    Column("decided_at", String, nullable=False),
)

batches = Table(
    "batches",
    _tables,
    Column("seq", Integer, primary_key=True),
    Column("segment", String, nullable=False),  # file name in data/dataset
    Column("sha256", String, nullable=False),
    Column("md5", String, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("state", String, nullable=False),  # accepted -> committed
    Column("revision", String),
    Column("dvc_md5", String),
    Column("accepted_at", String, nullable=False),
    Column("committed_at", String),
)

runs = Table(
    "runs",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("reason", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("dvc_md5", String, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("state", String, nullable=False),  # started -> trained | failed | abandoned
    Column("version", Integer),
    Column("detail", String),
    Column("started_at", String, nullable=False),
    Column("ended_at", String),
    Column("seconds", Float),
)

versions = Table(
    "versions",
    _tables,
    Column("version", Integer, primary_key=True),
    Column("mlflow_run", String, nullable=False),
    Column("bundle", String, nullable=False),  # sha256 of the manifest
    Column("candidate", String, nullable=False),
    Column("backend", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("dvc_md5", String, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("trained_rows", Integer, nullable=False),
    Column("trigger", String, nullable=False),  # why the training started
    Column("scores", String, nullable=False),  # JSON: challenger and champion on the same held-out rows
    Column("state", String, nullable=False),  # promoted | refused | held | unservable
    Column("reason", String, nullable=False),  # why it was promoted or not
    Column("judged_at", String, nullable=False),
)

swaps = Table(
    "swaps",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("previous", Integer),
    Column("reason", String, nullable=False),
    Column("at", String, nullable=False),
)

requests = Table(
    "requests",
    _tables,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),  # queued -> done | refused
    Column("detail", String, nullable=False),
    Column("at", String, nullable=False),
    Column("ended_at", String),
)

events = Table(
    "events",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("kind", String, index=True, nullable=False),
    Column("level", String, nullable=False),  # info | warning | error
    Column("message", String, nullable=False),
    Column("drop", String),
    Column("batch", Integer),
    Column("run", Integer),
    Column("version", Integer),
    sqlite_autoincrement=True,
)

meta = Table("meta", _tables, Column("key", String, primary_key=True), Column("value", String, nullable=False))


class Committed(NamedTuple):
    """Rows in the newest revision, and DVC's md5 of it (None before the first)."""

    rows: int
    dvc_md5: str | None


class Journal:
    """The one writer of `journal.db`; every method is one durable transaction (synchronous=FULL)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection = engine.connect()

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
        return journal

    def _check(self, path: Path) -> None:
        with self._writing() as connection:
            found = connection.execute(text("PRAGMA user_version")).scalar_one()
            if found > FORMAT:
                raise RetraindError(
                    f"{path} has format {found}; this retraind knows {FORMAT}.", hint="Install the newer version again."
                )
            _tables.create_all(connection)
            connection.execute(text(f"PRAGMA user_version = {FORMAT}"))
        problem = self._connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
        self._connection.rollback()
        if problem != "ok":
            raise _unusable(path, problem)

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Iterator[Self]:
        """A journal for reading only, beside the daemon that writes it; raises RetraindError when it can't be used."""
        url = URL.create("sqlite", database=f"{path.absolute().as_uri()}?mode=ro", query={"uri": "true"})
        try:
            with closing(cls(create_engine(url))) as journal:
                yield journal
        except DatabaseError as error:
            raise _unusable(path, error.orig) from None

    def close(self) -> None:
        """Close the connection; the last one to close folds the WAL into the file."""
        self._connection.close()
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        # IMMEDIATE: a deferred transaction that upgrades from reading fails at once, whatever the busy timeout.
        try:
            self._connection.execute(text("BEGIN IMMEDIATE"))
            yield self._connection
            self._connection.commit()
        except OperationalError as error:
            raise Unavailable(f"The journal can't be written: {error.orig}.", hint="Is the disk full?") from None
        finally:
            self._connection.rollback()

    def _rows(self, query: Any) -> Sequence[RowMapping]:
        try:
            return self._connection.execute(query).mappings().all()
        except OperationalError as error:
            raise Unavailable(f"The journal can't be read: {error.orig}.") from None
        finally:
            self._connection.rollback()

    def _one(self, query: Any) -> RowMapping | None:
        found = self._rows(query.limit(1))
        return found[0] if found else None

    # Drops and batches

    def accept(self, batch: dict[str, Any], accepted: list[dict[str, Any]]) -> int:
        """Record that `batch` (segment, sha256, md5, rows) holds the rows of `accepted` drops; returns its number."""
        with self._writing() as connection:
            seq = connection.execute(select(func.coalesce(func.max(batches.c.seq), 0) + 1)).scalar_one()
            now = utcnow()
            connection.execute(batches.insert(), {**batch, "seq": seq, "state": "accepted", "accepted_at": now})
            rows = [{**drop, "state": "accepted", "batch": seq, "decided_at": now} for drop in accepted]
            connection.execute(drops.insert(), rows)
            names = ", ".join(drop["name"] for drop in accepted[:3]) + (", …" if len(accepted) > 3 else "")
            _tell(connection, "accepted", f"Batch {seq}: {batch['rows']} rows of {names}.", batch=seq)
        return int(seq)

    def refuse(self, drop: dict[str, Any], state: str, message: str, *, batch: int | None = None) -> None:
        """Record a drop that adds nothing: `rejected` (with reason) or `duplicate` (of a drop in `batch`)."""
        with self._writing() as connection:
            connection.execute(drops.insert(), {**drop, "state": state, "batch": batch, "decided_at": utcnow()})
            level = "warning" if state == "rejected" else "info"
            _tell(connection, state, message, level=level, drop=drop["sha256"], batch=batch)

    def commit(self, seq: int, revision: str, dvc_md5: str) -> None:
        """Record that DVC and git hold every batch up to `seq`."""
        with self._writing() as connection:
            values = {"state": "committed", "revision": revision, "dvc_md5": dvc_md5, "committed_at": utcnow()}
            connection.execute(batches.update().where(batches.c.seq == seq).values(**values))
            _tell(connection, "committed", f"Batch {seq} is revision {revision[:10]} (DVC {dvc_md5[:10]}).", batch=seq)

    def uncommitted(self) -> RowMapping | None:
        """The oldest batch that is accepted but not committed."""
        return self._one(select(batches).where(batches.c.state == "accepted").order_by(batches.c.seq))

    def batches(self) -> Sequence[RowMapping]:
        """All batches, oldest first."""
        return self._rows(select(batches).order_by(batches.c.seq))

    def committed(self) -> Committed:
        """Rows of all committed batches, and the newest revision's md5 by DVC."""
        done = batches.c.state == "committed"
        rows = self._rows(select(func.coalesce(func.sum(batches.c.rows), 0).label("rows")).where(done))
        newest = self._one(select(batches.c.dvc_md5).where(done).order_by(batches.c.seq.desc()))
        return Committed(int(rows[0]["rows"]), newest["dvc_md5"] if newest else None)

    def batch_of(self, sha256: str) -> int | None:
        """The batch that holds the drop with these bytes."""
        query = select(drops.c.batch).where(drops.c.sha256 == sha256, drops.c.state == "accepted")
        found = self._one(query)
        return None if found is None else int(found["batch"])

    def drops_in(self, seq: int) -> Sequence[RowMapping]:
        """The accepted drops of one batch."""
        return self._rows(select(drops).where(drops.c.batch == seq, drops.c.state == "accepted"))

    # Runs

    def start_run(self, reason: str, revision: str, dvc_md5: str, rows: int) -> int:
        """Record a training *before* it starts, so that one that kills everything is not tried at once again."""
        with self._writing() as connection:
            values = {"reason": reason, "revision": revision, "dvc_md5": dvc_md5, "rows": rows}
            values |= {"state": "started", "started_at": utcnow()}
            connection.execute(runs.insert(), values)
            run = int(connection.execute(select(func.max(runs.c.id))).scalar_one())
            _tell(connection, "training", f"Training {run} on {rows} rows: {reason}.", run=run)
        return run

    def end_run(
        self, run: int, state: str, detail: str, *, version: int | None = None, seconds: float | None = None
    ) -> None:
        """Record how a training ended: `trained`, `failed` or `abandoned`."""
        with self._writing() as connection:
            values = {"state": state, "detail": detail, "version": version, "ended_at": utcnow(), "seconds": seconds}
            connection.execute(runs.update().where(runs.c.id == run).values(**values))
            level = "info" if state == "trained" else "error"
            _tell(connection, state, f"Training {run} {state}: {detail}", level=level, run=run, version=version)

    def open_runs(self) -> Sequence[RowMapping]:
        """Runs that have started and not ended."""
        return self._rows(select(runs).where(runs.c.state == "started").order_by(runs.c.id))

    def setbacks(self) -> int:
        """How many of the newest ended runs in a row came to nothing."""
        trained = select(func.coalesce(func.max(runs.c.id), 0)).where(runs.c.state == "trained").scalar_subquery()
        ended = select(func.count().label("n")).where(runs.c.state.in_(("failed", "abandoned")), runs.c.id > trained)
        return int(self._rows(ended)[0]["n"])

    def last_run(self, state: str | None = None) -> RowMapping | None:
        """The newest run, or the newest in `state`."""
        query = select(runs).order_by(runs.c.id.desc())
        return self._one(query if state is None else query.where(runs.c.state == state))

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

    def versions(self) -> Sequence[RowMapping]:
        """All judged versions, newest first."""
        return self._rows(select(versions).order_by(versions.c.version.desc()))

    def swap(self, version: int, previous: int | None, reason: str) -> None:
        """Record that the pointer names `version` from now on."""
        with self._writing() as connection:
            connection.execute(
                swaps.insert(), {"version": version, "previous": previous, "reason": reason, "at": utcnow()}
            )
            _tell(connection, "serving", f"Version {version} is served: {reason}", version=version)

    def last_swap(self) -> RowMapping | None:
        """The newest swap."""
        return self._one(select(swaps).order_by(swaps.c.id.desc()))

    # Requests, events, facts

    def take_request(self, request: str, kind: str, detail: str, at: str) -> None:
        """Take a request over from its file; a request that is already known stays as it is."""
        with self._writing() as connection:
            values = {"id": request, "kind": kind, "state": "queued", "detail": detail, "at": at}
            connection.execute(requests.insert().prefix_with("OR IGNORE"), values)

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

    def get(self, key: str) -> Any:
        """A remembered value (JSON), or None."""
        found = self._one(select(meta.c.value).where(meta.c.key == key))
        return None if found is None else json.loads(found["value"])

    def put(self, key: str, value: Any) -> None:
        """Remember a JSON value."""
        with self._writing() as connection:
            connection.execute(meta.insert().prefix_with("OR REPLACE"), {"key": key, "value": json.dumps(value)})


def _unusable(path: Path, problem: object) -> RetraindError:
    hint = "If it is damaged, restore it from a backup; the data is not affected."
    return RetraindError(f"{path} can't be used: {problem}.", hint=hint)


def _tell(connection: Connection, kind: str, message: str, *, level: str = "info", **about: Any) -> None:
    connection.execute(events.insert(), {"at": utcnow(), "kind": kind, "level": level, "message": message, **about})


def _configure(dbapi: Any, _record: Any) -> None:
    # SQLAlchemy's own BEGIN is deferred; isolation_level None leaves transactions to `_writing`.
    dbapi.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "mmap_size=0"):
        dbapi.execute(f"PRAGMA {pragma}")
