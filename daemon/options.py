"""Options that commands share, and how they open a home.

Level 6.
"""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import typer

from daemon import logs, settings
from daemon.errors import BadSettings
from daemon.home import Home

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="RETRAIND_HOME", help="The home folder with inbox/, data/ and registry/.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HERE = Path()


def load(home: Path, **flags: Any) -> tuple[Home, settings.Settings]:
    """The home and its settings, `flags` (those of `[server]`) over them; raises BadSettings."""
    place = Home(home.absolute())
    if "?" in str(place.root) or unquote(str(place.root)) != str(place.root):
        hint = "MLflow takes ? and %41 in a path for parts of an address: choose another folder, or rename it."
        raise BadSettings(f"{place.root} can't be a home.", hint=hint)
    server = {key: value for key, value in flags.items() if value is not None}
    loaded = settings.load(place.settings, {"server": server} if server else None)
    logs.configure(loaded.log)
    return place, loaded


def visit(home: Path) -> Home:
    """The home that a command only looks at; a misspelt one is as empty as a new one, so it is said."""
    place, _ = load(home)
    if not place.registry.exists():
        typer.echo(f"retraind: {place.root} is no home of retraind yet. Is --home right?", err=True)
    return place
