"""Commands on a home as a whole: doctor, backup, restore."""

import json
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli import ask_daemon
from daemon.cli.options import HERE, HomeOption, JsonOption, load, visit
from daemon.core import requests
from daemon.core.errors import AlreadyRunning, Exit
from daemon.core.home import Home


def doctor(
    home: HomeOption = HERE,
    repair: Annotated[bool, typer.Option("--repair", help="First make good what can be made good.")] = False,
    json_: JsonOption = False,
) -> None:
    """Check the home from end to end: settings, segments, git, DVC, bundles, journal, paths.

    Example: retraind doctor --repair
    """
    place = visit(home)
    if repair:
        _repair(place)
    _judge(place, json_)


def _judge(place: Home, json_: bool) -> None:
    """Say what the checkup finds; exit code 5 if anything is not in order."""
    from daemon.cli import doctor as checkup

    findings = checkup.examine(place)
    typer.echo(json.dumps(findings) if json_ else checkup.as_text(findings))
    raise typer.Exit(Exit.OK if all(finding["ok"] for finding in findings) else Exit.UNHEALTHY)


def _repair(place: Home) -> None:
    """Mend a home that nobody runs, or ask the daemon that does."""
    from daemon.dataset import repair as upkeep
    from daemon.service import service

    try:
        with service.locked(place):
            upkeep.mend(place, lambda sentence: typer.echo(f"retraind: {sentence}", err=True))
    except AlreadyRunning:
        typer.echo("retraind: the daemon is asked to do it.", err=True)
        ask_daemon.wait(place, requests.submit(place, "repair").id)


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to be written; it must not exist.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Copy the whole home, running or not, into one file that only you can read: tokens are in it.

    Example: retraind backup /backups/churn.tar
    """
    place = visit(home)
    from daemon.backup import backup as backups

    facts = backups.backup(place, file.absolute())
    typer.echo(json.dumps(facts) if json_ else backups.sentence(file, facts))


def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `retraind backup` wrote.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Make a new home from a backup, compare every byte, and check it; exit code 10 if the backup is not whole.

    Example: retraind restore /backups/churn.tar --home ~/churn-again
    """
    place, _ = load(home)
    from daemon.backup import backup as backups
    from daemon.backup import restore as restoring

    manifest = restoring.restore(file, place)
    typer.echo(f"retraind: {place.root} restored as of {manifest.made}: {backups.counts(manifest.facts)}.", err=True)
    _judge(place, json_)
