"""Commands on trainings and versions: retrain, versions, promote, refuse, rollback, lineage, reproduce."""

import os
from pathlib import Path
from typing import Annotated

import typer

from retraind.daemon.cli.ask_daemon import submit
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, limit_option, opened, version_argument
from retraind.daemon.cli.report import say
from retraind.daemon.core import requests
from retraind.daemon.core.errors import Exit


def retrain(
    home: HomeOption = HERE,
    force: Annotated[bool, typer.Option("--force", help="Train even without new rows.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show progress and wait for the verdict.")] = False,
    json_: JsonOption = False,
) -> None:
    """Request a training. Exits 8 if it is declined or, with --follow, if its version is refused.

    Example: retraind retrain --force --follow
    """
    if follow:
        _follow(home, json_, force=force)
    else:
        submit(home, json_, "retrain", force=force)


def _follow(home: Path, json_: bool, *, force: bool) -> None:
    place, _ = opened(home, writes=True)
    from retraind.daemon.cli import follow

    place.make()
    before = follow.last_run(place)
    request = requests.ask(place, "retrain", force=force)
    code, facts = follow.follow(place, request.id, before)
    say.document(facts) if json_ else typer.echo(facts["sentence"])
    raise typer.Exit(code)


def promote(
    version: Annotated[int | None, version_argument("Default: the waiting challenger.")] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Serve a version, by default the waiting challenger.

    Example: retraind promote 4
    """
    submit(home, json_, "promote", version=version)


def refuse(
    version: Annotated[int | None, version_argument("Default: the waiting challenger.")] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Refuse a waiting version, by default the challenger.

    Example: retraind refuse
    """
    submit(home, json_, "refuse", version=version)


def rollback(
    version: Annotated[int | None, version_argument("Default: the one that the served version replaced.")] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Serve an earlier version again.

    Example: retraind rollback
    """
    submit(home, json_, "rollback", version=version)


def versions(
    limit: Annotated[int, limit_option("How many of the newest.")] = 100,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """List the newest versions with their verdicts.

    Example: retraind versions
    """
    place, _ = opened(home)
    from retraind.daemon.cli.report import versions as report

    listed = report.listed(place, limit)
    if json_:
        say.document(listed)
    else:
        report.print_table(listed)


def lineage(
    version: Annotated[int, version_argument("As `retraind versions` lists them.")],
    limit: Annotated[int, limit_option("How many of the newest drops, batches and swaps.")] = 20,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Show where a version came from and where it was served, from its drops to its predictions.

    Example: retraind lineage 3
    """
    place, _ = opened(home)
    from retraind.daemon.cli.report import lineage_tree

    chain = lineage_tree.read(place, version, limit)
    say.document(chain) if json_ else lineage_tree.show(chain)


def reproduce(
    version: Annotated[int, version_argument("As `retraind versions` lists them.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Train a version again from its data revision and compare. Exits 7 if the model differs.

    Example: retraind reproduce 3
    """
    place, loaded = opened(home)
    os.nice(loaded.train.nice)
    from retraind.daemon.objects.opening import open_store
    from retraind.daemon.training import reproduction, reproduction_verdict

    comparison = reproduction.reproduce(place, version, loaded.train, open_store(loaded.storage))
    say.document(comparison) if json_ else typer.echo(reproduction_verdict.sentence(comparison))
    raise typer.Exit(Exit.OK if comparison["equal"] else Exit.DIFFERENT)
