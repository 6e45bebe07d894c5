"""The arrival of an object: its bytes are hashed as they are written, and it gets its name only if the hash is right."""

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from retraind.daemon.core import durable
from retraind.daemon.objects.store import ObjectDamaged


def write(target: Path, pieces: Iterable[bytes], sha256: str, origin: str, *, mode: int = 0o600) -> None:
    """Write `pieces` to `target`: temporary file, fsync, rename, fsync of the folder.

    Raises ObjectDamaged if their sha256 does not begin with `sha256` (`origin` names their source), OSError; then no
    file is left.
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
            hint = "Nothing of it was used; check the store, and restore it from a backup."
            raise ObjectDamaged(f"{origin} differs from the recorded object ({sha256[:12]}…).", hint=hint)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    durable.fsync_dir(target.parent)
