"""Options that commands share, and functions that open a home."""

from pathlib import Path
from typing import Annotated, Any

import typer

from retraind.daemon.cli import home_opening
from retraind.daemon.cli.completion import values
from retraind.daemon.core import logs, requests, settings
from retraind.daemon.core.home import Home

HomeOption = Annotated[
    Path,
    # `readable`: `home_opening` says why a folder can't be read, and Typer would not.
    typer.Option(
        "--home", envvar="RETRAIND_HOME", readable=False, help="The home folder with inbox/, data/ and registry/."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HERE = Path()


def version_argument(meaning: str) -> Any:
    """A version's number. One beyond LARGEST is refused, because the journal could not look it up."""
    return typer.Argument(min=1, max=requests.LARGEST, help=meaning, autocompletion=values.versions)


def limit_option(meaning: str) -> Any:
    """The number of listed entries; the journal accepts none beyond LARGEST."""
    return typer.Option(min=1, max=requests.LARGEST, help=meaning)


def opened(home: Path, *, writes: bool = False) -> tuple[Home, settings.Settings]:
    """A home and its settings, for a command that reads it or with `writes` changes it; raises WrongHome, BadSettings."""
    place = Home(home.absolute())
    home_opening.require(place, writes=writes)
    return place, _configured(place)


def made(home: Path) -> tuple[Home, settings.Settings]:
    """A home that exists or is to be made, and its settings; raises WrongHome, BadSettings."""
    place = Home(home.absolute())
    home_opening.require_place(place)
    return place, _configured(place)


def served(home: Path, **flags: Any) -> tuple[Home, settings.Settings]:
    """The home of a service, a folder that may be empty, and its settings overridden by `flags` of `[server]`."""
    place = Home(home.absolute())
    home_opening.require_folder(place)
    server = {key: value for key, value in flags.items() if value is not None}
    return place, _configured(place, {"server": server} if server else None)


def _configured(place: Home, flags: dict[str, Any] | None = None) -> settings.Settings:
    """The settings of a home, by which this process now logs."""
    loaded = settings.load(place.settings, flags)
    logs.configure(loaded.log)
    return loaded
