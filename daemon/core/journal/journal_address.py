"""The address of a journal on a server, as in `journal.url`. None of our files may have its password."""

SCHEME = "postgresql+psycopg"

SECRETS = ("password", "sslpassword")
"""Parameters of an address that are secret."""


def objection(url: str) -> str | None:
    """The problem of an address in the settings. The sentence does not repeat the address, which may have a password."""
    from urllib.parse import parse_qs, urlsplit  # here, because a home without a server does not need this import

    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return "It is not an address."
    if password is not None or set(SECRETS) & parse_qs(parts.query).keys():
        return "It has a password: remove it, and set PGPASSWORD, or use ~/.pgpass or a service file."
    if parts.scheme != SCHEME:
        return f"It must be {SCHEME}://USER@HOST/DATABASE, or empty for a file in the home."
    return None
