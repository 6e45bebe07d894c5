"""The arrival of an object: what comes in is hashed as it is written, and gets its name only if it is what was asked for."""

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from daemon.core import durable
from daemon.objects.store import ObjectDamaged


def write(target: Path, pieces: Iterable[bytes], sha256: str, origin: str, *, mode: int = 0o600) -> None:
    """Write `pieces` to `target`: temporary file, fsync, rename, fsync of the folder.

    Raises ObjectDamaged if their sha256 does not begin with `sha256` (`origin` says where they are from), OSError; then
    there is no file.
    """
    temporary = target.with_name(f"{durable.MARK}{target.name[:40]}.{secrets.token_hex(6)}{durable.TMP}")
    digest = hashlib.sha256()
    try:
        with temporary.open("xb") as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if not digest.hexdigest().startswith(sha256):
            hint = "Nothing of it was used; look at the store, and put it back from a backup."
            raise ObjectDamaged(f"{origin} has other bytes than those that are on record ({sha256[:12]}…).", hint=hint)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    durable.fsync_dir(target.parent)
