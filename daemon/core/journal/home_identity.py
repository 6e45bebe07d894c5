"""The identity of a home: an id in a small file that is worth nothing once it is copied.

The file names its own inode, which no copy keeps (`cp -a`, rsync, tar, a backup) and every move within a file system
does. So a copied home is not mistaken for the original, whose journal on a server or object store it names in its
settings. A copy of the whole disk keeps the inode and can't be told apart.
"""

import json
import secrets
from dataclasses import asdict, dataclass

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSettings, RetraindError
from retraind.daemon.core.home import Home

UNKNOWN = 0
"""The inode of an identity that is not the home's yet."""


@dataclass(frozen=True)
class Identity:
    """The id of a home, and the inode of the file that has it."""

    id: str
    inode: int


def read(home: Home) -> Identity | None:
    """The content of the file, whether or not it is a copy; None without one. Raises RetraindError."""
    try:
        return Identity(**json.loads(home.identity.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RetraindError(
            f"{home.identity} can't be read: {error}.", hint="Remove it: the next start makes another."
        ) from None


def is_copy(home: Home) -> bool:
    """Whether the file was copied from another home."""
    identity = read(home)
    return identity is not None and identity.inode != home.identity.stat().st_ino


def require_original(home: Home, part: str, remedy: str) -> None:
    """Raise BadSettings for a copy of a home to which `part` belongs; the command `remedy` gives the copy its own."""
    if is_copy(home):
        raise BadSettings(
            f"{home.root} is a copy of another home, to which {part} belongs.",
            hint=f"`{remedy}` gives the copy its own. If the other home is gone for good, run `retraind claim`.",
        )


def settle(home: Home) -> str:
    """The id of the home; a home without one, or with a copied one, gets another. Call while holding the home's lock."""
    identity = read(home)
    if identity is not None and not is_copy(home):
        return identity.id
    return write(home, secrets.token_hex(16))


def write(home: Home, identity: str) -> str:
    """Give the home this id, durably."""
    durable.write(home.identity, lambda inode: _bytes(Identity(identity, inode)))
    return identity


def announce(home: Home) -> str:
    """The id that the home will have once it has taken another's place; the file stays a copy's until `write`.

    After a kill in between it is the same.
    """
    identity = read(home)
    if identity is None or identity.inode != UNKNOWN:
        identity = Identity(secrets.token_hex(16), UNKNOWN)
        durable.write(home.identity, _bytes(identity))
    return identity.id


def _bytes(identity: Identity) -> bytes:
    return json.dumps(asdict(identity)).encode() + b"\n"
