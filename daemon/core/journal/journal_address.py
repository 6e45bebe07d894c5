"""The address of a journal on a server, as `journal.url` has it: without a password, which belongs in no file of ours."""

SCHEME = "postgresql+psycopg"

SECRETS = ("password", "sslpassword")
"""Parameters of an address that are secret."""


def objection(url: str) -> str | None:
    """What is wrong with an address in the settings; the sentence does not repeat it, because it may have a password."""
    from urllib.parse import parse_qs, urlsplit  # takes a millisecond, of which a home without a server has nothing

    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return "It is no address."
    if password is not None or set(SECRETS) & parse_qs(parts.query).keys():
        return "It has a password: leave that out, and give it by the variable PGPASSWORD, in ~/.pgpass or in a service file."
    if parts.scheme != SCHEME:
        return f"Only {SCHEME}://USER@HOST/DATABASE is known; empty is a file in the home."
    return None
