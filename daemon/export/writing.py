"""Writes a folder in one step: under a hidden name, then renamed. A killed export leaves nothing that looks finished."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSettings

MODE = 0o755


@contextmanager
def folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, which gets the name `out` at the end. Raises BadSettings if there is something already."""
    require_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f"{durable.MARK}{out.name[:40]}.", suffix=durable.TMP, dir=out.parent))
    except OSError as error:
        raise BadSettings(f"{out} can't be written: {error.strerror or error}.", hint="Name another folder.") from None
    try:
        yield hidden
        for path in sorted(hidden.rglob("*")):
            path.chmod(MODE if path.is_dir() else 0o644)
            durable.fsync_dir(path) if path.is_dir() else durable.fsync_file(path)
        hidden.chmod(MODE)
        durable.fsync_dir(hidden)
        require_free(out)
        hidden.rename(out)
        durable.fsync_dir(out.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def require_free(out: Path) -> None:
    """Raise BadSettings if there is something. An empty folder may be replaced: rename(2) does that in one step."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise BadSettings(f"{out} exists and is no folder.", hint="Name another folder with -o.")
    if out.exists() and any(out.iterdir()):
        raise BadSettings(f"{out} exists and is not empty.", hint="Name another folder with -o, or remove it.")
