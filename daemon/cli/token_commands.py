"""The commands of `retraind token`: who may use the service from beyond this machine."""

from datetime import datetime, timedelta
from typing import Annotated, TypedDict

import typer

from retraind.daemon.access import tokens
from retraind.daemon.access.tokens import Token
from retraind.daemon.cli.completion import values
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, opened
from retraind.daemon.cli.report import say
from retraind.daemon.core.errors import BadSettings, NotFound
from retraind.daemon.core.scopes import Scope

app = typer.Typer(name="token", invoke_without_command=True)

NAMES = ("name", "scopes", "created_at", "expires_at", "used_at")


class Secret(TypedDict):
    """A token in clear, with its name."""

    name: str
    token: str


class Revoked(TypedDict):
    """The name of a token that is no longer valid."""

    revoked: str


class ListedToken(TypedDict):
    """A token without its secret; times are UTC in ISO 8601, None if it never expires or was not used yet."""

    name: str
    scopes: list[str]
    created_at: str | None
    expires_at: str | None
    used_at: str | None


Name = Annotated[str, typer.Argument(help="The name of the token: who or what uses it.")]


@app.callback()
def show(context: typer.Context, home: HomeOption = HERE, json_: JsonOption = False) -> None:
    """Print the admin token of registry/token; with a command, make, list or revoke other tokens.

    Example: retraind token create dashboard --scope read
    """
    if context.invoked_subcommand is not None:
        source = context.get_parameter_source("home")
        if source is not None and source.name == "COMMANDLINE":
            raise BadSettings("--home comes before the command.", hint="Put it after create, list or revoke.")
        return
    place, _ = opened(home)
    if not place.token.exists():
        raise NotFound(f"There is no {place.token} yet.", hint="The first `retraind run` makes it.")
    secret = place.token.read_text().strip()
    say.document(Secret(name=tokens.FILE, token=secret)) if json_ else typer.echo(secret)


@app.command()
def create(
    name: Name,
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it may do; repeat it for more scopes.")],
    days: Annotated[
        float | None, typer.Option("--days", min=0, max=36_500, help="It expires after this many days.")
    ] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Make a token and print it once: only its sha256 is kept. The running service accepts it at once.

    Example: retraind token create shop --scope predict --days 90
    """
    place, _ = opened(home, writes=True)
    place.make()
    lasts = timedelta(days=days) if days is not None else None
    secret = tokens.create(place, name, scope, lasts)
    say.document(Secret(name=name, token=secret)) if json_ else typer.echo(secret)


@app.command("list")
def list_(home: HomeOption = HERE, json_: JsonOption = False) -> None:
    """List the tokens: name, scopes, when each was made, expires and was last used (to the minute).

    Example: retraind token list
    """
    place, _ = opened(home)
    rows = [_row(token, used) for token, used in tokens.known(place)]
    if json_:
        say.document(rows)
        return
    lines = [list(NAMES), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(NAMES))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The name of the token.", autocompletion=values.token_names)],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Revoke a token: the running service refuses it within a second, and ends its sessions and streams.

    Example: retraind token revoke shop
    """
    place, _ = opened(home, writes=True)
    if name == tokens.FILE:
        raise BadSettings(f"{name} is a file.", hint=f"Remove {place.token}; the next start makes another.")
    tokens.revoke(place, name)
    if json_:
        say.document(Revoked(revoked=name))


def _row(token: Token, used: datetime | None) -> ListedToken:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": _moment(token.created_at),
        "expires_at": _moment(token.expires_at),
        "used_at": _moment(used),
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else None


def _cell(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value or "-")
