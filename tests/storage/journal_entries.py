"""Entries of a journal, as the daemon would make them."""

from typing import Any

from sqlalchemy import text

from retraind.daemon.core.home import Home
from retraind.daemon.records.query import ask, number
from retraind.daemon.storage.journal import Journal


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
    return [(row["kind"], row["level"]) for row in ask(home.journal, "SELECT kind, level FROM events ORDER BY id")]


def newest_event(home: Home) -> int:
    return number(home.journal, "SELECT MAX(id) FROM events") or 0


def batches(home: Home) -> list[int]:
    return [row["seq"] for row in ask(home.journal, "SELECT seq FROM batches ORDER BY seq")]


def change(journal: Journal, statement: str, **values: Any) -> None:
    """Write past the entries, whichever database it is."""
    with journal.database.writing() as connection:
        connection.execute(text(statement), values)


def accept(journal: Journal, count: int) -> int:
    return journal.batches.accept(a_batch(count), [a_drop(sha256=str(count))])
