"""The journal: what happened to every drop, batch, run, version and swap, with reasons.

Level 3, the only module that knows SQLAlchemy. One connection of one process writes it, and only that one checkpoints:
SQLite before 3.51.3 can corrupt a WAL that two connections checkpoint. Every transition writes its event in the same
transaction, so the history that people read is never ahead of the facts, nor behind.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
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

from daemon.errors import RetraindError

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


def utcnow() -> str:
    """Now, for people: UTC in ISO 8601 with milliseconds and a Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
