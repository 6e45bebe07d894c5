"""The commands of `retraind notify`: what was sent, and whether it arrives."""

import secrets
from typing import Annotated, TypedDict

import typer

from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, limit_option, opened
from retraind.daemon.cli.report import say
from retraind.daemon.core.errors import BadSettings, Exit
from retraind.daemon.core.status import utcnow
from retraind.daemon.records import events

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
    """List the newest notices by target: due, sent or given up. With the command `test`, send a test to every target.

    Example: retraind notify
    """
    if context.invoked_subcommand is not None:
        source = context.get_parameter_source("home")
        if source is not None and source.name == "COMMANDLINE":
            raise BadSettings("--home comes before the command.", hint="Put it after test.")
        return
    place, _ = opened(home)
    rows = events.deliveries(place.journal, limit)
    if json_:
        say.document(rows)
        return
    cells = [list(NAMES), *(["-" if value is None else str(value) for value in _values(row)] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(NAMES))]
    for line in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command("test")
def send_test(home: HomeOption = HERE, json_: JsonOption = False) -> None:
    """Send a test notice to every target of `[notify]`, from this process. Exits 5 if a target does not accept it.

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
    if any(problems.values()):
        raise typer.Exit(Exit.UNHEALTHY)


def _values(row: events.Delivery) -> tuple[str | int | None, ...]:
    return row["at"], row["kind"], row["count"], row["target"], row["state"], row["ended_at"]
