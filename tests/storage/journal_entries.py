"""Entries of a journal, as the daemon would make them."""

import sqlite3
from contextlib import closing
from typing import Any

from daemon.core.home import Home


def a_drop(name: str = "a.csv", sha256: str = "a" * 64, **more: Any) -> Any:
    now = "2026-01-01T00:00:00.000Z"
    return {"sha256": sha256, "name": name, "source": "file", "bytes": 1, "settled_at": now, **more}


def a_batch(number: int = 1, rows: int = 5) -> Any:
    facts = {"segment": f"{number}.parquet", "sha256": f"{number:064}", "md5": f"{number:032}"}
    return {**facts, "rows": rows, "bytes": 100 * rows}


def a_version(version: int) -> Any:
    texts = ("mlflow_run", "bundle", "candidate", "backend", "revision", "dvc_md5", "trigger")
    return {**dict.fromkeys(texts, "x"), "scores": "{}", "version": version, "rows": 5, "trained_rows": 4}


def events(home: Home) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(home.journal)) as connection:
        return connection.execute("SELECT kind, level FROM events ORDER BY id").fetchall()


def newest_event(home: Home) -> int:
    with closing(sqlite3.connect(home.journal)) as connection:
        return int(connection.execute("SELECT MAX(id) FROM events").fetchone()[0])
