"""Versions with their verdicts and live scores."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from rich.table import Column, Table

from daemon.artifacts.bundle import Pointer
from daemon.cli.report import home_access
from daemon.cli.report.terminal import CONSOLE, printable
from daemon.core.home import Home
from daemon.records import lineage, live_score
from daemon.schema import score_names
from daemon.schema.scores import Agreement
from daemon.storage.journal import Journal


def listed(home: Home, limit: int) -> list[dict[str, Any]]:
    """The newest judged versions, newest first, which one is served, and `live`: the score by late labels (None: there are none)."""
    if not home_access.has_journal(home):
        return []
    pointer = home_access.served(home)
    with Journal.reading(home.journal) as journal:
        rows: list[dict[str, Any]] = [{**row} for row in journal.versions.newest(limit)]
    shadows = agreements(home, pointer, [row["version"] for row in rows])
    for row in rows:
        row["served"] = pointer is not None and row["version"] == pointer.version
        row["live"] = live_score.of(home.journal, row["version"], json.loads(row["scores"]))
        row["shadow"] = shadows.get(row["version"])
    return rows


def agreements(home: Home, pointer: Pointer | None, versions: Sequence[int]) -> dict[int, Agreement]:
    """How far those of `versions` that were held agree with the served one, by number."""
    try:
        compared = lineage.agreements(home, versions, pointer.version) if pointer else []
    except sqlite3.Error:
        compared = []  # a damaged history is replaced by a new one; health must be shown meanwhile
    return {row["version"]: row for row in compared}


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """`listed` as a table on standard output."""
    table = Table("version", "", Column("model", overflow="fold"), "rows", "state", "live", "judged", box=None)
    for row in rows:
        judged = row["judged_at"][:16].replace("T", " ")
        facts = (row["candidate"], row["rows"], row["state"], _live(row["live"]), judged)
        table.add_row(str(row["version"]), "served" if row["served"] else "", *(printable(fact) for fact in facts))
    CONSOLE.print(table)
    for row in rows:
        beside = f" Beside the served one: {score_names.agreement(row['shadow'])}." if row["shadow"] else ""
        CONSOLE.print(f"  {row['version']}: {printable(row['reason'])}{beside}", soft_wrap=True)


def _live(score: dict[str, Any] | None) -> str:
    if score is None:
        return ""
    figure = f"{score['accuracy']:.3f}" if "accuracy" in score else f"RMSE {score_names.plain(score['rmse'])}"
    price = f", cost {score_names.plain(score['cost'])}" if "cost" in score else ""
    return f"{figure}{price} (n={score['n']})"
