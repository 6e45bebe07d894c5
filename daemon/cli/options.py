"""Options that commands share, and how they open a home."""

from pathlib import Path
from typing import Annotated, Any

import typer

from daemon.core import logs, requests, settings
from daemon.core.home import Home

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="RETRAIND_HOME", help="The home folder with inbox/, data/ and registry/.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HERE = Path()


def version_argument(meaning: str) -> Any:
    """A version's number; one beyond LARGEST is none, and the journal could not look it up."""
    return typer.Argument(min=1, max=requests.LARGEST, help=meaning)


def limit_option(meaning: str) -> Any:
    """How many are listed; a number beyond LARGEST is none for the journal."""
    return typer.Option(min=1, max=requests.LARGEST, help=meaning)


def load(home: Path, **flags: Any) -> tuple[Home, settings.Settings]:
    """The home and its settings, `flags` (those of `[server]`) over them; raises BadSettings."""
    place = Home(home.absolute())
    server = {key: value for key, value in flags.items() if value is not None}
    loaded = settings.load(place.settings, {"server": server} if server else None)
    logs.configure(loaded.log)
    return place, loaded


def read_only_home(home: Path) -> Home:
    """The home that a command only reads; a warning says that it is new, because a misspelt one looks empty."""
    place, _ = load(home)
    if not place.registry.exists():
        typer.echo(f"retraind: {place.root} is not a retraind home yet. Is --home right?", err=True)
    return place
