"""What the command line shows of a home: health, versions, drops, schema and settings.

Works with and without a running daemon, and changes nothing.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import tomlkit
from rich.console import Console
from rich.table import Column as Wide
from rich.table import Table

from daemon.artifacts import bundle
from daemon.artifacts.bundle import Pointer
from daemon.core import foundations, proc, settings, status
from daemon.core.errors import Ambiguous, HistoryLost, NotFound, RetraindError
from daemon.core.home import Home
from daemon.records import challenger, lineage, live_score
from daemon.records import drops as fates
from daemon.records import versions as judged_versions
from daemon.schema import caveats, score_names
from daemon.storage.journal import Journal

# Reasons and names are text of other people: `[…]` in them is no markup.
CONSOLE = Console(markup=False, emoji=False, highlight=False)

LISTED = 20
"""The newest of several drops with one name that are told apart in a message."""


def health(home: Home) -> dict[str, Any]:
    """Whether all is well, what is served, and every check of the daemon."""
    daemon = status.read(home.status)
    alive = daemon is not None and daemon.alive
    pointer = _pointer(home)
    checks = {name: check.model_dump() for name, check in (daemon.checks if daemon and alive else {}).items()}
    checks["daemon"] = {"ok": alive, "detail": _liveness(daemon)}
    found = f"Version {pointer.version} since {pointer.since}." if pointer else "No version has been promoted yet."
    if pointer is None and "training" in checks:
        found = f"{found} {checks['training']['detail']}"
    checks["model"] = {"ok": pointer is not None, "detail": found}
    seen = {"disk": foundations.disk(home), "journal": foundations.journal(home)} if foundations.begun(home) else {}
    challenger, held = None, 0
    try:
        challenger, held = _challenger(home, pointer), fates.held_total(home.journal)
        checks["model"]["detail"] = f"{found} {_lacks(home, pointer)}".strip()
    except sqlite3.Error as error:
        seen["journal"] = seen["journal"] or f"{home.journal} can't be read: {error}. See `retraind doctor`."
    checks |= {name: {"ok": False, "detail": detail} for name, detail in seen.items() if detail}
    return {
        "healthy": all(check["ok"] for check in checks.values()),
        "model_version": pointer.version if pointer else None,
        "rows": daemon.rows if daemon else 0,
        "rows_pending": daemon.rows_pending if daemon else 0,
        "challenger": challenger,
        "drops_held": held,
        "training": daemon.training.model_dump() if daemon and alive and daemon.training else None,
        "longest_step": daemon.longest_step.model_dump() if daemon and alive and daemon.longest_step else None,
        "checks": checks,
    }


def _liveness(daemon: status.Status | None) -> str:
    """Whether the daemon runs, and what it does if that takes long."""
    if daemon is not None and daemon.alive:
        return f"Running, {daemon.step.name} for {daemon.step.seconds:.0f} s." if daemon.step else "Running."
    found = proc.look(daemon.pid) if daemon is not None and daemon.boot == status.boot_id() else None
    if daemon is None or found is None:
        return "Not running: start it with `retraind run`."
    if found.state in "Tt":
        return f"Stopped (SIGSTOP, pid {daemon.pid}): `kill -CONT {daemon.pid}` lets it go on."
    # The number may be that of another process by now.
    return f"Gone or hanging since {daemon.at}: start it with `retraind run`, which says so if it still runs (pid {daemon.pid})."


def _challenger(home: Home, pointer: Pointer | None) -> dict[str, Any] | None:
    """The newest version that is held, and how far it agrees with the served one (None: nothing was compared)."""
    held = challenger.waiting(home.journal)
    if held is None:
        return None
    return {"version": held, "shadow": _agreements(home, pointer, [held]).get(held)}


def _lacks(home: Home, pointer: Pointer | None) -> str:
    """What the served version is on trial for; empty if for nothing."""
    judged = judged_versions.judged(home.journal, pointer.version) if pointer else None
    return caveats.sentence(json.loads(judged["scores"])) if judged else ""


def as_text(facts: dict[str, Any]) -> str:
    """`health` for people."""
    lines = [
        "healthy" if facts["healthy"] else "UNHEALTHY",
        f"  {score_names.counted(facts['rows'], 'row')}, {facts['rows_pending']} since the last training",
    ]
    if facts["training"]:
        lines.append(f"  training {facts['training']['run']}: {facts['training']['stage']}")
    if longest := facts["longest_step"]:
        lines.append(f"  longest step of the last hour: {longest['name']}, {longest['seconds']:.1f} s")
    if waiting := facts["challenger"]:
        beside = f": {score_names.agreement(waiting['shadow'])}" if waiting["shadow"] else ""
        lines.append(f"  version {waiting['version']} waits for `retraind promote`{beside}")
    if held := facts["drops_held"]:
        waits = "waits" if held == 1 else "wait"
        lines.append(f"  {score_names.counted(held, 'drop')} {waits} for `retraind accept` or `retraind reject`")
    lines += [
        f"  {'ok ' if check['ok'] else 'BAD'} {name}: {printable(check['detail'])}"
        for name, check in facts["checks"].items()
    ]
    return "\n".join(lines)


def _pointer(home: Home) -> Pointer | None:
    try:
        return bundle.read_pointer(home.pointer)
    except RetraindError:
        return None


def versions(home: Home, limit: int) -> list[dict[str, Any]]:
    """The newest judged versions, newest first, which one is served, and `live`: the score by late labels (None: there are none)."""
    if not has_journal(home):
        return []
    pointer = _pointer(home)
    with Journal.reading(home.journal) as journal:
        found: list[dict[str, Any]] = [{**row} for row in journal.versions.newest(limit)]
    agreements = _agreements(home, pointer, [row["version"] for row in found])
    for row in found:
        row["served"] = pointer is not None and row["version"] == pointer.version
        row["live"] = live_score.of(home.journal, row["version"], json.loads(row["scores"]))
        row["shadow"] = agreements.get(row["version"])
    return found


def has_journal(home: Home) -> bool:
    """False: nothing has been recorded yet; raises HistoryLost where something was, and is gone."""
    if gone := foundations.journal(home):
        raise HistoryLost(gone)
    return home.journal.exists()


def _agreements(home: Home, pointer: Pointer | None, versions: Sequence[int]) -> dict[int, dict[str, Any]]:
    """How far those of `versions` that were held agree with the served one, by number."""
    try:
        found = lineage.agreements(home, versions, pointer.version) if pointer else []
    except sqlite3.Error:
        found = []  # a damaged history begins anew, and health is to be told now
    return {one["version"]: one for one in found}


def print_versions(found: Sequence[dict[str, Any]]) -> None:
    """`versions` as a table on standard output."""
    table = Table("version", "", Wide("model", overflow="fold"), "rows", "state", "live", "judged", box=None)
    for row in found:
        judged = row["judged_at"][:16].replace("T", " ")
        facts = (row["candidate"], row["rows"], row["state"], _live(row["live"]), judged)
        table.add_row(str(row["version"]), "served" if row["served"] else "", *(printable(one) for one in facts))
    CONSOLE.print(table)
    for row in found:
        beside = f" Beside the served one: {score_names.agreement(row['shadow'])}." if row["shadow"] else ""
        CONSOLE.print(f"  {row['version']}: {printable(row['reason'])}{beside}", soft_wrap=True)


def _live(score: dict[str, Any] | None) -> str:
    if score is None:
        return ""
    figure = f"{score['accuracy']:.3f}" if "accuracy" in score else f"RMSE {score_names.plain(score['rmse'])}"
    price = f", cost {score_names.plain(score['cost'])}" if "cost" in score else ""
    return f"{figure}{price} (n={score['n']})"


def drops(home: Home, limit: int) -> list[dict[str, Any]]:
    """Drops that wait for a person, longest first, then the newest, newest first, `limit` of each; see `daemon.records.drops`."""
    with _reading(home):
        return [*map(fates.as_drop, fates.held(home.journal, limit)), *fates.newest(home.journal, limit)]


def held_drop(home: Home, key: str) -> dict[str, Any]:
    """The one drop of this sha256 or name that waits for a person; raises NotFound, or Ambiguous with a list of them."""
    with _reading(home):
        waiting, held = fates.held_like(home.journal, key), fates.held(home.journal, LISTED)
    if not waiting:
        names = ", ".join(printable(row["name"]) for row in held)
        raise NotFound(f"No drop {key!r:.100} waits for a decision.", hint=f"These do: {names or 'none'}.")
    if len(waiting) > 1:
        lines = ", ".join(row["sha256"] for row in waiting[:LISTED])
        raise Ambiguous(
            f"{len(waiting)} drops of the name {key!r:.100} wait.", hint=f"Name one by its sha256: {lines}."
        )
    return waiting[0]


def drop(home: Home, key: str) -> dict[str, Any]:
    """What became of one drop, by id, sha256 or name, and which versions it `taught`; raises NotFound."""
    with _reading(home):
        if held := fates.held_like(home.journal, key):
            return {**fates.as_drop(held[0]), "taught": {"count": 0, "newest": []}}
        found = fates.find(home.journal, key)
        taught = found and lineage.taught(home, found)
    if found is None:
        hint = "`retraind drops` lists the newest; a file that still lies in the inbox is not decided yet."
        raise NotFound(f"There is no drop {key!r:.100}.", hint=hint)
    return {**found, "taught": taught}


def drop_to_forget(home: Home, key: str) -> dict[str, Any]:
    """The one drop that this id, sha256 or name may mean; raises NotFound, or Ambiguous with a list of them."""
    with _reading(home):
        found = fates.taken(home.journal, key)
    if not found:
        other = drop(home, key)
        raise NotFound(f"The dataset holds no rows of {other['name']}: it was {other['state']}.")
    if len(found) > 1:
        older = [f"and {len(found) - LISTED} older ones: see `retraind drops --limit N`"] if found[LISTED:] else []
        lines = "\n  ".join(["Name one by its id or sha256:", *map(_about, found[:LISTED]), *older])
        raise Ambiguous(f"{key!r:.100} may be any of {len(found)} drops.", hint=lines)
    return found[0]


def _about(row: dict[str, Any]) -> str:
    """A drop in one line, so that people can tell it from others of its name."""
    rows = score_names.counted(row["rows_accepted"], "row")
    return f"id {row['id']}: {printable(row['name'])}, {_moment(row)}, {rows}, {row['state']}, sha256 {row['sha256']}"


def version(home: Home, number: int, limit: int) -> dict[str, Any]:
    """Where a version came from and where it went (see `daemon.records.lineage`); raises NotFound."""
    with _reading(home):
        found = lineage.of(home, number, limit)
    if found is None:
        raise NotFound(f"There is no version {number}.", hint="`retraind versions` lists them.")
    return found


@contextmanager
def _reading(home: Home) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise RetraindError(f"{home.journal} can't be read: {error}.", hint="See `retraind doctor`.") from None


def print_drops(found: Sequence[dict[str, Any]]) -> None:
    """`drops` as a table on standard output."""
    table = Table(
        "id", Wide("name", overflow="fold"), "state", "rows", "bad", "twice", "known", "batch", "seen", box=None
    )
    for row in found:
        counts = (
            f"{row['rows_accepted']}/{row['rows_read']}",
            row["rows_refused"],
            row["rows_duplicate"],
            row["rows_known"],
        )
        facts = (row["id"], row["name"], row["state"], *counts, row["batch"], _moment(row))
        table.add_row(*(printable(one) for one in facts))
    CONSOLE.print(table)
    for row in found:
        if row["reason"]:
            CONSOLE.print(
                f"  {row['id'] or row['state']} {printable(row['name'])}: {printable(_why(row))}", soft_wrap=True
            )


def print_drop(found: dict[str, Any]) -> None:
    """All facts of one drop, one a line, on standard output."""
    table = Table(Wide(), Wide(overflow="fold"), box=None, show_header=False)
    for name, value in {**found, "taught": _taught(found["taught"])}.items():
        if value is not None:
            table.add_row(name, printable(value))
    CONSOLE.print(table)


def _moment(row: dict[str, Any]) -> str:
    """When a drop was seen, to the minute."""
    return str(row["seen_at"] or row["settled_at"])[:16].replace("T", " ")


def _taught(versions: dict[str, Any]) -> str | None:
    named = [f"v{one['version']} {one['state']}" for one in versions["newest"]]
    older = versions["count"] - len(named)
    return ", ".join(named + ([f"{older} older ones"] if older else [])) or None


def _why(row: dict[str, Any]) -> str:
    place = [f"line {row['line']}"] if row["line"] else []
    place += [repr(row["column"])] if row["column"] else []
    return ": ".join(filter(None, [", ".join(place), row["reason"] or ""]))


def printable(value: object) -> str:
    """Names and reasons come from other people's files: nothing in them may steer the terminal."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def settings_file(chosen: Mapping[str, Any] | None = None) -> str:
    """The text of a `retraind.toml` that names every setting with its default, commented out, but for those `chosen`."""
    chosen = chosen or {}
    lines = [
        "# Every setting of retraind with its default. To change one, remove the # before it and before its [section]."
    ]
    section = ""
    for key, description, default in settings.entries():
        head, _, name = key.rpartition(".")
        if head != section:
            section = head
            lines += ["", f"[{head}]" if any(one.startswith(f"{head}.") for one in chosen) else f"# [{head}]"]
        mark = "" if key in chosen else "# "
        lines += [f"# {description}", f"{mark}{name} = {_toml(chosen.get(key, default))}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return str(table.as_string())
    return str(tomlkit.item(value).as_string())
