"""The command events: the newest events that fit some filters, with the numbers that `retraind acknowledge` takes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from retraind.daemon.cli.completion import values
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, limit_option, opened
from retraind.daemon.cli.report import say
from retraind.daemon.cli.report.home_access import reading
from retraind.daemon.cli.report.terminal import printable
from retraind.daemon.core.errors import BadSettings, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.records.drops import decided
from retraind.daemon.records.search.event_search import EventFilter, ListedEvent, search
from retraind.daemon.records.search.pages import Range

PROBLEMS = "problems"

T = TypeVar("T", bound=StrEnum)


def events(
    kind: Annotated[str, typer.Option("--kind", help="Only events of this kind, such as `suspicious`.")] = "",
    level: Annotated[str, typer.Option("--level", help="info, warning or error; problems: warnings and errors.")] = "",
    open_: Annotated[bool, typer.Option("--open", help="Only warnings and errors that were not acknowledged.")] = False,
    drop: Annotated[
        str,
        typer.Option("--drop", help="Only events of this drop: its id, sha256 or name.", autocompletion=values.drops),
    ] = "",
    version: Annotated[int | None, typer.Option("--version", min=1, help="Only events of this version.")] = None,
    text: Annotated[str, typer.Option("--text", help="Only events with this in their message.")] = "",
    since: Annotated[
        str, typer.Option("--since", help="Only events from this time (UTC), such as 2026-03-01T08:00.")
    ] = "",
    limit: Annotated[int, limit_option("How many of the newest.")] = 20,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """List the newest events with their numbers, newest last.

    Example: retraind events --open
    """
    place, _ = opened(home)
    chosen = EventFilter(
        kinds=[_member(EventKind, kind, "--kind")] if kind else [],
        levels=_levels(level),
        text=text,
        drop=_sha256(place, drop) if drop else "",
        version=version,
        since=_time(since) if since else None,
        unacknowledged=open_,
    )
    with reading(place):
        rows = search(place.journal, chosen, Range(limit)).rows[::-1]
    say.document(rows) if json_ else _print(rows)


def _print(rows: Sequence[ListedEvent]) -> None:
    """A line for each event: its number, time, level and kind, its message, and who has seen to it."""
    width = max((len(str(row["id"])) for row in rows), default=1)
    for row in rows:
        seen = (
            f" (seen to by {row['acknowledged_by']}, {_short(row['acknowledged_at'] or '')})"
            if row["acknowledged_by"]
            else ""
        )
        head = f"{row['id']:>{width}}  {_short(row['at'])}  {row['level']:7}  {row['kind']}"
        typer.echo(printable(f"{head}  {row['message']}{seen}"))


def _short(at: str) -> str:
    return at[:19].replace("T", " ")


def _levels(level: str) -> list[Level]:
    if level == PROBLEMS:
        return [Level.WARNING, Level.ERROR]
    return [_member(Level, level, "--level", PROBLEMS)] if level else []


def _member(kinds: type[T], word: str, option: str, *more: str) -> T:
    try:
        return kinds(word)
    except ValueError:
        words = ", ".join([*(member.value for member in kinds), *more])
        raise BadSettings(f"{option} {word!r:.60} is unknown.", hint=f"It is one of: {words}.") from None


def _sha256(place: Home, key: str) -> str:
    """The sha256 of the drop that a key names; raises NotFound."""
    with reading(place):
        row = decided.find(place.journal, key)
    if row is None or not row["sha256"]:
        raise NotFound(f"There is no drop {key!r:.100}.", hint="`retraind drops` lists the newest.")
    return row["sha256"]


def _time(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadSettings(f"--since {text!r:.60} is no time.", hint="Write 2026-03-01 or 2026-03-01T08:00.") from None
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return utc.replace(tzinfo=None).isoformat(timespec="seconds")
