"""Which uv installs: the one on PATH if it is new enough, otherwise the pinned one, which pip fetches."""

import contextlib
import hashlib
import importlib.util
import os
import re
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from installer import pip_settings
from installer.progress import Ended, Programs

LEAST = (0, 11)
"""The oldest uv with all variables that are set for it (UV_SYSTEM_CERTS)."""

LOCK = Path(__file__).with_name("requirements.lock")


def usable(program: str | Path | None) -> Path | None:
    """The program; None if it is missing, does not work, or is too old."""
    if program is None:
        return None
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.match(r"uv (\d+)\.(\d+)", asked.stdout)
    return Path(program) if version and (int(version[1]), int(version[2])) >= LEAST else None


def bundled_pip() -> Path | None:
    """The wheel of pip that comes with Python: pip runs directly from it, which saves installing pip first."""
    folders = [Path("/usr/share/python-wheels")]
    # Debian has ensurepip in a separate package.
    if (ensurepip := importlib.util.find_spec("ensurepip")) and ensurepip.origin:
        folders.insert(0, Path(ensurepip.origin).with_name("_bundled"))
    if own := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        folders.insert(0, Path(own))
    wheels = (wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"), reverse=True))
    return next(wheels, None)


def cache(environ: Mapping[str, str]) -> Path | None:
    """The user's cache folder.

    None without one, or if it is another user's (a sudo that keeps HOME), because only root may replace programs that
    root runs.
    """
    home = pip_settings.user_home(environ)
    folder = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    try:
        owner = next(place.stat().st_uid for place in (folder, home) if place.exists())
    except (OSError, StopIteration):
        return None
    return folder if owner == os.getuid() else None


def place(environ: Mapping[str, str], environment: Path) -> Path:
    """Folder of the pinned uv: a cache folder named after its lock file, or otherwise in the `environment`."""
    folder = cache(environ)
    name = f"uv-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    with contextlib.suppress(OSError):
        if folder is not None:
            (folder / "retraind").mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder / "retraind", os.W_OK):
                return folder / "retraind" / name
    return environment / f".{name}"


def fetch(
    pip: Sequence[str | Path], folder: Path, programs: Programs, environ: Mapping[str, str]
) -> tuple[Path, Ended]:
    """Install the pinned uv into `folder`; returns its program, and the end of pip."""
    with tempfile.TemporaryDirectory(prefix="uv-", dir=folder.parent) as name:
        flags = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile", "--target", name]
        ended = programs.run([*pip, "install", *flags, "-r", LOCK], folder.parent, environ)
        if not ended.code:
            # Renamed when complete; if another installer was faster, its folder has the same bytes.
            with contextlib.suppress(OSError):
                if folder.exists() and usable(folder / "bin" / "uv") is None:
                    _discard(folder)
                Path(name).rename(folder)
                Path(name).mkdir()
    return folder / "bin" / "uv", ended


def _discard(folder: Path) -> None:
    """Remove a uv that does not work, because a new one could not take its name."""
    with tempfile.TemporaryDirectory(prefix="uv-", dir=folder.parent) as name:
        folder.rename(Path(name, "damaged"))
