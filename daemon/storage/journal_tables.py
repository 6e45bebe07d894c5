"""The journal's tables, and the migrations of older journals to the present format.

DDL of SQLite is transactional: after a kill a journal has either the old format or the new one.
"""

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, MetaData, String, Table, inspect, text

from retraind.daemon.core.journal.journal_format import FORMAT

WHOLE = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits in every database: SQLite's INTEGER has them, those of others do not."""

tables = MetaData()

drops = Table(
    "drops",
    tables,
    Column("id", WHOLE, primary_key=True),
    Column("sha256", String, index=True, nullable=False),
    Column("name", String, index=True, nullable=False),
    Column("source", String, nullable=False),  # file | http | label
    Column("bytes", WHOLE, nullable=False),
    Column("state", String, nullable=False),  # accepted (-> forgotten) | rejected | duplicate
    Column("rows_read", WHOLE, nullable=False, default=0),
    Column("rows_accepted", WHOLE, nullable=False, default=0),
    Column("rows_refused", WHOLE, nullable=False, default=0),
    Column("rows_duplicate", WHOLE, nullable=False, default=0),
    Column("rows_known", WHOLE, nullable=False, default=0),  # that the dataset already had
    Column("rows_relabelled", WHOLE, nullable=False, default=0),  # that it had only with another target
    Column("reason", String),
    Column("line", WHOLE),  # of the first bad row
    Column("column", String),
    Column("bad_file", String),  # in inbox/rejected: the rejected rows, verbatim
    Column("batch", WHOLE, index=True),
    Column("seen_at", String),
    Column("settled_at", String, nullable=False),
    Column("decided_at", String, nullable=False),
    Column("decided_by", String),  # who accepted or rejected it; NULL: not a person
    Column("origin", String),  # of an object in a bucket: its URL and version; NULL: it was a file or a row
    Column("forgotten_in", WHOLE),  # the batch that removed its rows
    Column("forgotten_at", String),
    Column("forgotten_by", String),
    # All columns that the totals need, so that counting never reads the rows themselves.
    Index("drops_totals", "state", "rows_accepted", "rows_refused", "rows_read"),
)

batches = Table(
    "batches",
    tables,
    Column("seq", WHOLE, primary_key=True),
    Column("kind", String, nullable=False, default="drops"),  # drops | merge | forget
    Column("segment", String, nullable=False),  # file name in data/dataset; "" if forgetting left no rows
    Column("sha256", String, nullable=False),
    Column("md5", String, nullable=False),
    Column("rows", WHOLE, nullable=False),  # change of the number of rows: 0 for a merge, negative for forgetting
    Column("total_rows", WHOLE, nullable=False, default=0),  # of the dataset up to here
    Column("state", String, index=True, nullable=False),  # accepted -> committed
    Column("revision", String),
    Column("dvc_md5", String),
    Column("accepted_at", String, nullable=False),
    Column("committed_at", String),
    # Lineage queries the last batch of a revision: after a month with a drop per second it would read millions of rows.
    Index("batches_of_revision", "revision"),
)

segments = Table(
    "segments",
    tables,
    Column("name", String, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("md5", String, nullable=False),
    Column("rows", WHOLE, nullable=False),
    Column("bytes", WHOLE, nullable=False),
    Column("tier", WHOLE, nullable=False),  # 0 as accepted, n + 1 merged from tier n
    Column("first", WHOLE, nullable=False, index=True),  # the batches whose rows it holds
    Column("last", WHOLE, nullable=False),
    Column("born", WHOLE, nullable=False),  # the batch that wrote it
    Column("died", WHOLE, index=True),  # the merge or forgetting that replaced it; NULL: it is part of the dataset
)

labels = Table(
    "labels",
    tables,
    Column("prediction_id", String, primary_key=True),
    Column("version", WHOLE, nullable=False),
    Column("prediction", String, nullable=False),
    Column("truth", String, nullable=False),
    Column("drop", String, nullable=False),  # sha256
    Column("batch", WHOLE, nullable=False),
    Column("at", String, nullable=False),
    Index("labels_of_version", "version", "batch"),
)

exams = Table(  # made if it is missing; older programs work without it
    "exams",
    tables,
    Column("id", WHOLE, primary_key=True),
    Column("drop", String, index=True, nullable=False),  # sha256; "" for all small drops of a batch
    Column("name", String, nullable=False),
    Column("batch", WHOLE),
    Column("version", WHOLE, nullable=False),
    Column("n", WHOLE, nullable=False),  # rows that were predicted
    Column("error", Float, nullable=False),  # share of wrong answers, or multiple of the promised error
    Column("usual", Float, nullable=False),
    Column("mix", Float, nullable=False),
    Column("shifts", String, nullable=False),  # JSON: features whose values have shifted, and how far
    Column("suspicious", WHOLE, nullable=False),
    Column("reason", String, nullable=False),
    Column("at", String, nullable=False),
    Index("exams_suspicious", "suspicious"),
)

held = Table(  # suspicious drops that wait; a row is removed when its drop has left the inbox
    "held",
    tables,
    Column("sha256", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("bytes", WHOLE, nullable=False),
    Column("rows_read", WHOLE, nullable=False),
    Column("rows_known", WHOLE, nullable=False, default=0),
    Column("version", WHOLE, nullable=False),  # that predicted its rows
    Column("reason", String, nullable=False),
    Column("state", String, nullable=False),  # held -> accepted | rejected
    Column("by", String),  # who decided
    Column("seen_at", String),
    Column("held_at", String, nullable=False),
)

runs = Table(
    "runs",
    tables,
    Column("id", WHOLE, primary_key=True),
    Column("reason", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("dvc_md5", String, nullable=False),
    Column("rows", WHOLE, nullable=False),
    Column("batch", WHOLE),  # the newest that added or removed rows
    Column("state", String, nullable=False),  # started -> trained | postponed | failed | abandoned
    Column("version", WHOLE),
    Column("detail", String),
    Column("started_at", String, nullable=False),
    Column("ended_at", String),
    Column("seconds", Float),
)

versions = Table(
    "versions",
    tables,
    Column("version", WHOLE, primary_key=True),
    Column("mlflow_run", String, nullable=False),
    Column("bundle", String, nullable=False),  # sha256 of the manifest
    Column("candidate", String, nullable=False),
    Column("backend", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("dvc_md5", String, nullable=False),
    Column("rows", WHOLE, nullable=False),
    Column("trained_rows", WHOLE, nullable=False),
    Column("trigger", String, nullable=False),  # why the training started
    Column("scores", String, nullable=False),  # JSON: challenger and champion on the same held-out rows
    Column("state", String, nullable=False),  # promoted | refused | held | unservable
    Column("reason", String, nullable=False),  # why it was promoted or not
    Column("judged_at", String, nullable=False),
)

swaps = Table(
    "swaps",
    tables,
    Column("id", WHOLE, primary_key=True),
    Column("version", WHOLE, nullable=False),
    Column("previous", WHOLE),
    Column("reason", String, nullable=False),
    Column("at", String, nullable=False),
)

requests = Table(
    "requests",
    tables,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),  # queued -> done | refused
    Column("detail", String, nullable=False),
    Column("at", String, nullable=False),
    Column("ended_at", String),
)

drifts = Table(
    "drifts",
    tables,
    Column("id", WHOLE, primary_key=True),
    Column("at", String, nullable=False),
    Column("version", WHOLE, nullable=False),
    Column("n", WHOLE, nullable=False),  # predictions that were compared
    Column("drifted", WHOLE, nullable=False),  # features that drifted
    Column("state", String, nullable=False),  # ok | drift | waiting
    Column("alarm", WHOLE, nullable=False),  # 1 while a person should look
    Column("reason", String, nullable=False),  # a sentence
    Column("detail", String),  # JSON: see daemon/drift/two_sample.py; NULL in all but the newest
)

events = Table(
    "events",
    tables,
    Column("id", WHOLE, primary_key=True),
    Column("at", String, nullable=False),
    Column("kind", String, index=True, nullable=False),
    Column("level", String, nullable=False),  # info | warning | error
    Column("message", String, nullable=False),
    Column("drop", String),
    Column("batch", WHOLE),
    Column("run", WHOLE),
    Column("version", WHOLE),
    sqlite_autoincrement=True,
)

notices = Table(  # made if it is missing, like `deliveries`; older programs work without them
    "notices",
    tables,
    Column("id", WHOLE, primary_key=True),
    Column("token", String, nullable=False),  # names the notice at its receivers, however often it is sent
    Column("kind", String, nullable=False),
    Column("count", WHOLE, nullable=False),  # events that it reports
    Column("first", WHOLE, nullable=False),  # the first and the last of them; their texts stay in `events` only
    Column("last", WHOLE, nullable=False),
    Column("at", String, nullable=False),  # when it fell due
)

deliveries = Table(
    "deliveries",
    tables,
    Column("id", WHOLE, primary_key=True),
    Column("notice", WHOLE, index=True, nullable=False),
    Column("target", String, nullable=False),
    Column("state", String, index=True, nullable=False),  # due -> sent | given up
    Column("detail", String),  # why it was given up
    Column("ended_at", String),
)

acknowledgements = Table(  # made if it is missing; older programs work without it
    "acknowledgements",
    tables,
    Column("event", WHOLE, primary_key=True, autoincrement=False),  # a warning or error that a person has seen to
    *(Column(name, String, nullable=False) for name in ("kind", "event_at", "by", "at")),
    Column("drop", String, index=True),
    *(Column(name, WHOLE, index=True) for name in ("run", "version")),
)

MLFLOW_HOME = "mlflow_home"
"""The key of the id by which MLflow's database on a server knows its home; a copy of a home gets its own."""

meta = Table("meta", tables, Column("key", String, primary_key=True), Column("value", String, nullable=False))

MIGRATIONS = {
    1: (
        "ALTER TABLE drops ADD COLUMN rows_duplicate INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE drops ADD COLUMN bad_file VARCHAR",
        "ALTER TABLE drops ADD COLUMN seen_at VARCHAR",
        "ALTER TABLE drops ADD COLUMN forgotten_in INTEGER",
        "ALTER TABLE drops ADD COLUMN forgotten_at VARCHAR",
        "ALTER TABLE drops ADD COLUMN forgotten_by VARCHAR",
        "CREATE INDEX drops_totals ON drops (state, rows_accepted, rows_refused, rows_read)",
        "CREATE INDEX ix_batches_state ON batches (state)",
        "ALTER TABLE batches ADD COLUMN kind VARCHAR NOT NULL DEFAULT 'drops'",
        "ALTER TABLE batches ADD COLUMN total_rows INTEGER NOT NULL DEFAULT 0",
        "UPDATE batches SET total_rows = (SELECT SUM(rows) FROM batches AS one WHERE one.seq <= batches.seq)",
        "ALTER TABLE runs ADD COLUMN batch INTEGER",
        "UPDATE runs SET batch = (SELECT MAX(seq) FROM batches WHERE batches.revision = runs.revision)",
        """INSERT OR IGNORE INTO segments (name, sha256, md5, rows, bytes, tier, first, last, born)
        SELECT segment, sha256, md5, rows, 0, 0, seq, seq, seq FROM batches""",
    ),
    2: (
        "ALTER TABLE drops ADD COLUMN rows_known INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE drops ADD COLUMN rows_relabelled INTEGER NOT NULL DEFAULT 0",
    ),
    3: (),  # the table `held`: an older program would silently accept the drops that wait in the inbox
}
"""Statements that migrate a journal from the format in the key to the next one."""


LATER_COLUMNS = ("decided_by", "origin")
"""Columns of `drops` that an older journal of the same format lacks; they may be empty, so older programs work."""


def prepare(connection: Connection) -> int:
    """Create or migrate the tables within the caller's transaction; returns the previous format (0: a new file).

    A format above FORMAT is not changed; the caller must refuse it.
    """
    stored = int(connection.execute(text("PRAGMA user_version")).scalar_one())
    if stored > FORMAT:
        return stored
    new = not inspect(connection).has_table("drops")
    tables.create_all(connection)
    for version in range(stored, FORMAT) if not new else ():
        for statement in MIGRATIONS[version]:
            connection.execute(text(statement))
    # Later additions that change no row (an index, a nullable column) are not a new format, because older programs work
    # with them.
    present = {column["name"] for column in inspect(connection).get_columns("drops")}
    for name in LATER_COLUMNS:
        if name not in present:
            connection.execute(text(f"ALTER TABLE drops ADD COLUMN {name} VARCHAR"))
    for index in batches.indexes:
        index.create(connection, checkfirst=True)
    connection.execute(text(f"PRAGMA user_version = {FORMAT}"))
    return stored
