"""The command top: the dashboard in a terminal."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, opened
from retraind.daemon.cli.report import say
from retraind.daemon.core.errors import BadSettings, Unavailable


def top(
    home: HomeOption = HERE,
    url: Annotated[
        str | None, typer.Option("--url", help="The address of a service on another machine, instead of a home.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file with a token of scope `read`, for --url.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Show the dashboard in the terminal, refreshed every second, until q or Ctrl-C. Without a terminal, print it once.

    Example: retraind top --home ~/churn
    """
    # The facts and their verdict are the page's, so they are made by the page's own code.
    from retraind.web.terminal import live, overview
    from retraind.web.terminal.sources import AddressSource, HomeSource, Silent, Source

    source: Source
    if url is None:
        place, settings = opened(home)
        source = HomeSource(place, settings)
    else:
        source = AddressSource(_address(url), token_file.read_text().strip() if token_file else "")
    try:
        say.document(overview.of(source.now())) if json_ else live.show(source)
    except Silent as error:
        raise Unavailable(str(error)) from None


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadSettings(f"--url {url!r} is no address.", hint="Write http://host:port or https://host.")
    return url
