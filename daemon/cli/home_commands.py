"""Commands on a home as a whole: doctor, backup, restore, migrate."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from retraind.daemon.cli import ask_daemon
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, made, opened
from retraind.daemon.cli.report import say
from retraind.daemon.core import requests, settings
from retraind.daemon.core.errors import AlreadyRunning, Exit
from retraind.daemon.core.home import Home


class Done(TypedDict):
    """Sentences on what a command has done."""

    done: list[str]


def doctor(
    home: HomeOption = HERE,
    repair: Annotated[bool, typer.Option("--repair", help="Repair damage first, where possible.")] = False,
    json_: JsonOption = False,
) -> None:
    """Examine the whole home: settings, segments, git, DVC, bundles, journal, paths.

    Example: retraind doctor --repair
    """
    place, _ = opened(home, writes=repair)
    if repair:
        _repair(place)
    _judge(place, json_)


def _judge(place: Home, json_: bool) -> None:
    """Print the findings of the checkup; exits 5 if any is bad."""
    from retraind.daemon.cli import doctor as checkup

    findings = checkup.examine(place)
    say.document(findings) if json_ else typer.echo(checkup.as_text(findings))
    raise typer.Exit(Exit.OK if all(finding["ok"] for finding in findings) else Exit.UNHEALTHY)


def _repair(place: Home) -> None:
    """Repair a home in which no daemon runs, or ask the running daemon to repair it."""
    from retraind.daemon.dataset import repair as upkeep
    from retraind.daemon.objects.opening import open_store, owned
    from retraind.daemon.service import service

    ask_daemon.require_leader(place)
    try:
        with service.locked(place):
            store = owned(open_store(settings.load(place.settings).storage), place)
            upkeep.repair_home(place, say.say, store)
    except AlreadyRunning:
        say.say("the running daemon repairs it.")
        ask_daemon.wait(place, requests.submit(place, "repair").id)


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write; it must not exist.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Write the whole home, running or not, to one file that only you can read, because it contains tokens.

    Example: retraind backup /backups/churn.tar
    """
    place, _ = opened(home)
    ask_daemon.require_leader(place)
    from retraind.daemon.backup import backup as backups

    facts = backups.backup(place, file.absolute())
    say.document(facts) if json_ else typer.echo(backups.sentence(file, facts))


def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `retraind backup` wrote.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Make a new home from a backup, compare every byte, and examine it. Exits 10 if the backup is incomplete.

    Example: retraind restore /backups/churn.tar --home ~/churn-again
    """
    place, _ = made(home)
    from retraind.daemon.backup import backup as backups
    from retraind.daemon.backup import restore as restoring
    from retraind.daemon.service import claiming

    manifest = restoring.restore(file, place)
    say.say(f"{place.root} restored as of {manifest.made}: {backups.counts(manifest.facts)}.")
    for sentence in claiming.advice(settings.load(place.settings)):
        say.say(sentence)
    _judge(place, json_)


def migrate(
    to: Annotated[str, typer.Argument(help="`file`, or the address of a PostgreSQL server as in journal.url.")],
    home: HomeOption = HERE,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Move MLflow's database instead of the journal.")] = False,
    json_: JsonOption = False,
) -> None:
    """Move the journal or MLflow's database to a PostgreSQL server, or back into the home. While the bulk of a journal is copied the service may run.

    Example: retraind migrate postgresql+psycopg://retraind@db.example/churn
    """
    place, _ = opened(home, writes=True)
    from retraind.daemon.service import service
    from retraind.daemon.storage.mlflow import mlflow_copies
    from retraind.daemon.storage.server import copies

    def stopped(rows: int) -> AbstractContextManager[None]:
        sentence = (
            f"{rows} rows are copied. Stop or restart the service now: what it has written since is copied "
            "then, and the next start uses the copy."
        )
        return service.locked_once_stopped(place, lambda: say.say(sentence))

    if mlflow:
        with service.locked(place):
            moved = mlflow_copies.move_to_file(place) if to == "file" else mlflow_copies.move_to_server(place, to)
    else:
        moved = copies.move_to_file(place, stopped) if to == "file" else copies.move_to_server(place, to, stopped)
    _print([moved], json_)


def claim(home: HomeOption = HERE, json_: JsonOption = False) -> None:
    """Give this home the object store, and the journal on a server, of a home that is gone for good.

    Example: retraind claim --home ~/churn-again
    """
    place, loaded = opened(home, writes=True)
    from retraind.daemon.service import claiming

    _print(claiming.claim(place, loaded), json_)


def _print(sentences: list[str], json_: bool) -> None:
    """Print what was done, as JSON on standard output or as messages."""
    if json_:
        say.document(Done(done=sentences))
        return
    for sentence in sentences:
        say.say(sentence)
