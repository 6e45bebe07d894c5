"""Commands on a home as a whole: doctor, backup, restore, migrate."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from retraind.daemon.cli import ask_daemon
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, made, opened
from retraind.daemon.core import requests, settings
from retraind.daemon.core.errors import AlreadyRunning, Exit
from retraind.daemon.core.home import Home


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
    typer.echo(json.dumps(findings) if json_ else checkup.as_text(findings))
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
            upkeep.repair_home(place, lambda sentence: typer.echo(f"retraind: {sentence}", err=True), store)
    except AlreadyRunning:
        typer.echo("retraind: the running daemon repairs it.", err=True)
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
    typer.echo(json.dumps(facts) if json_ else backups.sentence(file, facts))


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
    typer.echo(f"retraind: {place.root} restored as of {manifest.made}: {backups.counts(manifest.facts)}.", err=True)
    for sentence in claiming.advice(settings.load(place.settings)):
        typer.echo(f"retraind: {sentence}", err=True)
    _judge(place, json_)


def migrate(
    to: Annotated[str, typer.Argument(help="`file`, or the address of a PostgreSQL server as in journal.url.")],
    home: HomeOption = HERE,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Move MLflow's database instead of the journal.")] = False,
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
            f"retraind: {rows} rows are copied. Stop or restart the service now: what it has written since is copied "
            "then, and the next start uses the copy."
        )
        return service.locked_once_stopped(place, lambda: typer.echo(sentence, err=True))

    if mlflow:
        with service.locked(place):
            moved = mlflow_copies.move_to_file(place) if to == "file" else mlflow_copies.move_to_server(place, to)
    else:
        moved = copies.move_to_file(place, stopped) if to == "file" else copies.move_to_server(place, to, stopped)
    typer.echo(f"retraind: {moved}", err=True)


def claim(home: HomeOption = HERE) -> None:
    """Give this home the object store, and the journal on a server, of a home that is gone for good.

    Example: retraind claim --home ~/churn-again
    """
    place, loaded = opened(home, writes=True)
    from retraind.daemon.service import claiming

    for sentence in claiming.claim(place, loaded):
        typer.echo(f"retraind: {sentence}", err=True)
