"""Reports on drops: their outcomes, and the lookup of a drop by id, sha256 or name."""

from collections.abc import Sequence
from typing import cast

from rich.table import Column, Table

from retraind.daemon.cli.report.console import CONSOLE
from retraind.daemon.cli.report.home_access import reading
from retraind.daemon.cli.report.terminal import printable
from retraind.daemon.core.errors import Ambiguous, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState
from retraind.daemon.records import lineage
from retraind.daemon.records.drops import decided
from retraind.daemon.records.drops import held as waiting_drops
from retraind.daemon.records.drops.decided import DropFacts, ExaminedDrop
from retraind.daemon.records.drops.exams import Exam
from retraind.daemon.records.drops.held import HeldAsDrop, HeldDrop
from retraind.daemon.records.lineage_chain import TrainedVersions
from retraind.daemon.schema import score_names

ListedDrop = ExaminedDrop | HeldAsDrop


class DecidedReport(ExaminedDrop):
    """A drop, and the versions that were trained on it."""

    taught: TrainedVersions


class HeldReport(HeldAsDrop):
    """A drop that waits for a person; no version was trained on it."""

    taught: TrainedVersions


ReportedDrop = DecidedReport | HeldReport

LISTED = 20
"""Number of drops with the same name that a message lists, newest first."""


def listed(home: Home, limit: int) -> list[ListedDrop]:
    """Drops that wait for a person, longest first, then the newest, newest first, `limit` of each; see `retraind.daemon.records.drops.decided`."""
    with reading(home):
        return [
            *map(waiting_drops.as_drop, waiting_drops.held(home.journal, limit)),
            *decided.Drops(home).newest(limit),
        ]


def held(home: Home, key: str) -> HeldDrop:
    """The one waiting drop with this sha256 or name; raises NotFound, or Ambiguous with a list of them."""
    with reading(home):
        waiting, others = waiting_drops.held_like(home.journal, key), waiting_drops.held(home.journal, LISTED)
    if not waiting:
        names = ", ".join(printable(row["name"]) for row in others)
        raise NotFound(f"No drop {key!r:.100} waits for a decision.", hint=f"These do: {names or 'none'}.")
    if len(waiting) > 1:
        lines = ", ".join(row["sha256"] for row in waiting[:LISTED])
        raise Ambiguous(
            f"{len(waiting)} drops with the name {key!r:.100} wait.", hint=f"Name one by its sha256: {lines}."
        )
    return waiting[0]


def get(home: Home, key: str) -> ReportedDrop:
    """The outcome of one drop, by id, sha256 or name, and the versions trained on it (key `taught`); raises NotFound."""
    with reading(home):
        if waiting := waiting_drops.held_like(home.journal, key):
            return {**waiting_drops.as_drop(waiting[0]), "taught": {"count": 0, "newest": []}}
        if (facts := decided.Drops(home).find(key)) is not None:
            return {**facts, "taught": lineage.versions_trained_on(home, facts)}
    hint = "`retraind drops` lists the newest; a file still in the inbox has no outcome yet."
    raise NotFound(f"There is no drop {key!r:.100}.", hint=hint)


def to_forget(home: Home, key: str) -> DropFacts:
    """The one drop that this id, sha256 or name fits; raises NotFound, or Ambiguous with a list of them."""
    with reading(home):
        matches = decided.taken(home.journal, key)
    if not matches:
        other = get(home, key)
        raise NotFound(f"The dataset holds no rows of {other['name']}: it was {other['state']}.")
    if len(matches) > 1:
        older = [f"and {len(matches) - LISTED} older ones: see `retraind drops --limit N`"] if matches[LISTED:] else []
        lines = "\n  ".join(["Name one by its id or sha256:", *map(_about, matches[:LISTED]), *older])
        raise Ambiguous(f"{key!r:.100} may be any of {len(matches)} drops.", hint=lines)
    return matches[0]


def _about(row: DropFacts) -> str:
    """A drop in one line, so that people can distinguish it from others with its name."""
    rows = score_names.counted(row["rows_accepted"], "row")
    return f"id {row['id']}: {printable(row['name'])}, {_moment(row)}, {rows}, {row['state']}, sha256 {row['sha256']}"


def print_table(rows: Sequence[ListedDrop]) -> None:
    """`listed` as a table on standard output."""
    table = Table(
        "id", Column("name", overflow="fold"), "state", "rows", "bad", "twice", "known", "batch", "seen", box=None
    )
    for row in rows:
        counts = (
            f"{row['rows_accepted']}/{row['rows_read']}",
            row["rows_refused"],
            row["rows_duplicate"],
            row["rows_known"],
        )
        facts = (row["id"], row["name"], row["state"], *counts, row["batch"], _moment(row))
        table.add_row(*(printable(fact) for fact in facts))
    CONSOLE.print(table)
    for row in rows:
        if row["reason"]:
            CONSOLE.print(
                f"  {row['id'] or row['state']} {printable(row['name'])}: {printable(_why(row))}", soft_wrap=True
            )
        if suspicion := _suspicion(row):
            CONSOLE.print(f"  {row['id']} {printable(row['name'])}: {printable(suspicion)}", soft_wrap=True)


def print_facts(drop: ReportedDrop) -> None:
    """Print all facts of one drop, one per line."""
    table = Table(Column(), Column(overflow="fold"), box=None, show_header=False)
    facts = {**drop, "exam": _examined(_exam(drop)), "taught": _trained(drop["taught"])}
    for name, value in facts.items():
        if value is not None:
            table.add_row(name, printable(value))
    CONSOLE.print(table)


def _exam(row: ListedDrop | ReportedDrop) -> Exam | None:
    """The exam of a decided drop; a held one has none of its own."""
    return cast(Exam | None, row.get("exam"))


def _suspicion(row: ListedDrop) -> str:
    """Why an accepted drop is suspicious, and what to do; empty if it is not."""
    exam = _exam(row)
    if not exam or not exam["suspicious"] or row["state"] != DropState.ACCEPTED:
        return ""
    return f"suspicious: {exam['reason']}. Look at it; `retraind forget {row['id']}` removes its rows."


def _examined(exam: Exam | None) -> str | None:
    """The exam of a drop in one line; None if it had none."""
    if exam is None:
        return None
    verdict = f"suspicious: {exam['reason']}" if exam["suspicious"] else "as usual"
    return f"v{exam['version']} on {exam['n']} rows: error {exam['error']:.3g}, usually {exam['usual']:.3g}; {verdict}"


def _moment(row: ListedDrop | DropFacts) -> str:
    """The time a drop was seen, to the minute."""
    return str(row["seen_at"] or row["settled_at"])[:16].replace("T", " ")


def _trained(versions: TrainedVersions) -> str | None:
    named = [f"v{row['version']} {row['state']}" for row in versions["newest"]]
    older = versions["count"] - len(named)
    return ", ".join(named + ([f"{older} older ones"] if older else [])) or None


def _why(row: ListedDrop) -> str:
    place = [f"line {row['line']}"] if row["line"] else []
    place += [repr(row["column"])] if row["column"] else []
    return ": ".join(filter(None, [", ".join(place), row["reason"] or ""]))
