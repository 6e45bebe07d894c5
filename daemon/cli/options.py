"""Options that commands share, and functions that open a home."""

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
    """A version's number. One beyond LARGEST is refused, because the journal could not look it up."""
    return typer.Argument(min=1, max=requests.LARGEST, help=meaning)


def limit_option(meaning: str) -> Any:
    """The number of listed entries; the journal accepts none beyond LARGEST."""
    return typer.Option(min=1, max=requests.LARGEST, help=meaning)


def load(home: Path, **flags: Any) -> tuple[Home, settings.Settings]:
    """The home and its settings, overridden by `flags` (of `[server]`); raises BadSettings."""
    place = Home(home.absolute())
    server = {key: value for key, value in flags.items() if value is not None}
    loaded = settings.load(place.settings, {"server": server} if server else None)
    logs.configure(loaded.log)
    return place, loaded


def read_only_home(home: Path) -> Home:
    """The home that a command only reads.

    Warns if it is not a home yet, because a misspelt path looks like an empty home.
    """
    place, _ = load(home)
    if not place.registry.exists():
        typer.echo(f"retraind: {place.root} is not a retraind home yet. Is --home right?", err=True)
    return place
