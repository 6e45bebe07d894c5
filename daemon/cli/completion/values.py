"""Values of a home that a shell completes: versions, drops, tokens.

A home that can't be read gives none: completion never prints an error into a half-written line.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home

MOST = 100
"""Number of the newest versions or drops that are offered."""

PLAIN = re.compile(r"[A-Za-z0-9._@%+=,/][A-Za-z0-9._@%+=,/-]*")
"""Values that are offered. zsh evaluates the answer, and the name of a drop is another's text, which might be a command."""

Offer = tuple[str, str]
"""A value, and what it is."""


def versions(context: typer.Context, incomplete: str) -> list[Offer]:
    """The numbers of the newest versions that begin like this, each with its state."""
    from retraind.daemon.core.journal_rows import VersionRow
    from retraind.daemon.records import query

    def rows(home: Home) -> Iterator[Offer]:
        for row in query.newest(VersionRow, home.journal, "versions", MOST, key="version"):
            yield str(row["version"]), f"{row['candidate']}, {row['state']}"

    return _offered(context, incomplete, rows)


def drops(context: typer.Context, incomplete: str) -> list[Offer]:
    """The names of the newest drops that begin like this."""
    from retraind.daemon.records.drops import decided

    def rows(home: Home) -> Iterator[Offer]:
        for row in decided.newest(home.journal, MOST):
            yield row["name"], row["state"]

    return _offered(context, incomplete, rows)


def held_drops(context: typer.Context, incomplete: str) -> list[Offer]:
    """The names of drops that wait for a decision."""
    from retraind.daemon.records.drops import held

    def rows(home: Home) -> Iterator[Offer]:
        for row in held.held(home.journal, MOST):
            yield row["name"], "held"

    return _offered(context, incomplete, rows)


def token_names(context: typer.Context, incomplete: str) -> list[Offer]:
    """The names of tokens."""
    from retraind.daemon.access import tokens

    def rows(home: Home) -> Iterator[Offer]:
        for token, _ in tokens.known(home):
            if token.name != tokens.FILE:
                yield token.name, " ".join(sorted(token.scopes))

    return _offered(context, incomplete, rows)


def _offered(context: typer.Context, incomplete: str, rows: Callable[[Home], Iterator[Offer]]) -> list[Offer]:
    """The rows that begin like what is typed, each value once."""
    home = Home(Path(context.params.get("home") or Path()).absolute())
    try:
        offers = dict(rows(home)) if home.registry.is_dir() else {}
    except (OSError, sqlite3.Error, RetraindError, ValueError):
        return []
    return [
        (value, about) for value, about in offers.items() if value.startswith(incomplete) and PLAIN.fullmatch(value)
    ]
