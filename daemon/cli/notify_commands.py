"""The commands of `retraind notify`: what was sent, and whether it arrives; and `retraind acknowledge`."""

import getpass
import secrets
from datetime import UTC, datetime
from typing import Annotated, TypedDict

import typer

from retraind.daemon.cli.ask_daemon import submit
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, limit_option, opened
from retraind.daemon.cli.report import say
from retraind.daemon.core import status
from retraind.daemon.core.errors import BadSettings, Exit, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.status import utcnow
from retraind.daemon.records import events
from retraind.daemon.records.drops import decided
from retraind.daemon.schema.score_names import counted

app = typer.Typer(name="notify", invoke_without_command=True)


class Trial(TypedDict):
    """A target of notices, and why it does not accept a test; `problem` is empty or None if it does."""

    target: str
    ok: bool
    problem: str | None


NAMES = ("at", "kind", "count", "target", "state", "ended_at")


@app.callback()
def show(
    context: typer.Context,
    limit: Annotated[int, limit_option("How many of the newest.")] = 20,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """List events that wait to be a notice, and the newest notices by target: due, sent or given up. With the command `test`, send a test to every target.

    Example: retraind notify
    """
    if context.invoked_subcommand is not None:
        source = context.get_parameter_source("home")
        if source is not None and source.name == "COMMANDLINE":
            raise BadSettings("--home comes before the command.", hint="Put it after test.")
        return
    from retraind.daemon.notify.waiting import waiting

    place, settings = opened(home)
    early = waiting(place.journal, settings.notify, datetime.now(UTC))
    rows = [*early, *events.deliveries(place.journal, limit)]
    if json_:
        say.document(rows)
        return
    cells = [list(NAMES), *([str(value or "-") for value in _values(row)] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(NAMES))]
    for line in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for row in early:
        typer.echo(f"{counted(row['count'], 'event')} of the kind {row['kind']}: {row['detail']}")


@app.command("test")
def send_test(home: HomeOption = HERE, json_: JsonOption = False) -> None:
    """Send a test notice to every target of the section notify, from this process. Exits 5 if a target does not accept it, or the running service has other targets.

    Example: retraind notify test
    """
    place, settings = opened(home)
    if not settings.notify.is_on:
        hint = "Set notify.urls_file, notify.webhook or notify.command (docs/operations.md)."
        raise BadSettings(f"{place.settings} names no target for notices.", hint=hint)
    from retraind.daemon.notify.notice import Origin, trial
    from retraind.daemon.notify.sender import attempt
    from retraind.daemon.notify.targets.configured import Targets

    targets = Targets(place, settings.notify, events.salt(place.journal))
    notice = trial(Origin(str(place.root), settings.server.public_url), secrets.token_hex(16), utcnow())
    problems = {name: attempt(target, notice) for name, target in targets.current().items()}
    if json_:
        say.document([Trial(target=name, ok=not problem, problem=problem) for name, problem in problems.items()])
    for name, problem in {} if json_ else problems.items():
        typer.echo(f"{name}: {problem or 'Sent.'}")
    if targets.problem:
        raise BadSettings(targets.problem)
    unused = _unused(place)
    if unused:
        say.say(unused)
    if any(problems.values()) or unused:
        raise typer.Exit(Exit.UNHEALTHY)


def _unused(place: Home) -> str:
    """Which settings of notices the running service does not use yet; empty if it uses all, or none runs."""
    from retraind.daemon.cli.report import attention

    daemon = status.read(place.status)
    return attention.unused_notify(place) if daemon is not None and daemon.alive else ""


def acknowledge(
    key: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="The number of an event, or the sha256 or name of a drop: all about it."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All warnings and errors so far.")] = False,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Say that a warning or an error has been seen to: it no longer asks for attention. What still holds stays.

    Example: retraind acknowledge 117
    """
    place, _ = opened(home, writes=True)
    if (key is None) is not everything:
        raise BadSettings(
            "Name one event or one drop, or give --all.", hint="`retraind acknowledge --help` has an example."
        )
    submit(home, json_, "acknowledge", by=f"cli ({getpass.getuser()})", **_meant(place, key))


def _meant(place: Home, key: str | None) -> dict[str, int | str]:
    """What a request to acknowledge is about; raises NotFound."""
    if key is None:
        newest = events.Events(place.journal).newest(1)
        if not newest:
            raise NotFound("There is no event to acknowledge.")
        return {"until": newest[0]["id"]}
    if key.isascii() and key.isdecimal() and len(key) <= decided.LONGEST_ID:
        return {"event": int(key)}
    drop = decided.find(place.journal, key)
    if drop is None:
        raise NotFound(f"There is no drop {key!r:.100}.", hint="`retraind drops` lists the newest.")
    return {"drop": drop["sha256"]}


def _values(row: events.Delivery) -> tuple[str | int | None, ...]:
    return row["at"], row["kind"], row["count"], row["target"], row["state"], row["ended_at"]
