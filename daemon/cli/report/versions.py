"""Versions with their verdicts and live scores."""

import json
from collections.abc import Sequence

from rich.table import Column, Table

from retraind.daemon.cli.report import home_access
from retraind.daemon.cli.report.console import CONSOLE
from retraind.daemon.cli.report.terminal import printable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import VersionRow
from retraind.daemon.records import live_score, query
from retraind.daemon.schema import score_names
from retraind.daemon.schema.scores import Agreement, Score


class ListedVersion(VersionRow):
    """A version, whether it is served, its score by late labels, its agreement with the served one (None: unknown)."""

    served: bool
    live: Score | None
    shadow: Agreement | None


def listed(home: Home, limit: int) -> list[ListedVersion]:
    """The newest judged versions, newest first."""
    if not home_access.has_journal(home):
        return []
    pointer = home_access.served(home)
    with home_access.reading(home):
        rows = query.newest(VersionRow, home.journal, "versions", limit, key="version")
        shadows = home_access.agreements(home, pointer, [row["version"] for row in rows])
        return [
            {
                **row,
                "served": pointer is not None and row["version"] == pointer.version,
                "live": live_score.of(home.journal, row["version"], json.loads(row["scores"])),
                "shadow": shadows.get(row["version"]),
            }
            for row in rows
        ]


def print_table(rows: Sequence[ListedVersion]) -> None:
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


def _live(score: Score | None) -> str:
    if score is None:
        return ""
    figure = f"{score['accuracy']:.3f}" if "accuracy" in score else f"RMSE {score_names.plain(score['rmse'])}"
    price = f", cost {score_names.plain(score['cost'])}" if "cost" in score else ""
    return f"{figure}{price} (n={score['n']})"
