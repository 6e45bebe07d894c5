"""The address of a database on a server, as in `journal.url`. None of our files may have its password."""

import re

SCHEME = "postgresql+psycopg"

SECRET = re.compile("passw|secret|token", re.IGNORECASE)
"""Parameters of an address that are secret have such names; `passfile` only names a file."""

FORM = re.compile(r"[^@:/?#\s]*@?[^@/?#\s]*(/[^@:/?#\s]*)?(\?[^@#\s]*)?")
"""The part after the scheme: user, hosts with ports, database, parameters. Nothing else, because programs read odd
forms differently, and one of them may find a password there."""


def objection(url: str) -> str | None:
    """The problem of an address in the settings. The sentence does not repeat the address, which may have a password."""
    from urllib.parse import parse_qsl, urlsplit  # here, because a home without a server does not need this import

    scheme, mark, rest = url.partition("://")
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return "It is not an address."
    # A `#` belongs to the database's name for SQLAlchemy, which then finds the parameters behind it.
    parameters = parse_qsl(rest.partition("?")[2], keep_blank_values=True)
    if password is not None or any(SECRET.search(name) for name, _ in parameters):
        return "It has a password: remove it, and set PGPASSWORD, or use ~/.pgpass or a service file."
    if scheme != SCHEME or not mark or not FORM.fullmatch(rest):
        return f"It must be {SCHEME}://USER@HOST/DATABASE, or empty for a file in the home."
    return None
