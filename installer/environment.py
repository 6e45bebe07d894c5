"""The environment: it is created or renewed in its folder, by one installer at a time."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from installer import added_packages, pip_settings, stamp, uv_program
from installer.progress import Ended, Programs, Progress


class InstallFailed(Exception):
    """Raised, with a reason for people, when no environment could be made."""


class Wanted(NamedTuple):
    """The requested environment: its folder, its lock files, and its options."""

    folder: Path
    locks: tuple[Path, ...]
    """The lock file of the packages that are always needed, then those of extras."""

    project: Path | None = None
    """The folder of a project that is installed in place (editable)."""

    compiled: bool = False
    """Whether all modules are compiled now, for an environment that its users cannot write to."""

    fresh: bool = False
    """Whether packages that are not in the lock are removed, if anything has to be installed."""

    with_uv: bool = True

    packages: Path | None = None
    """A file of further requirements, for candidates. They are installed beside those of the locks, whose versions stay."""

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.folder / "bin" / "python"

    @property
    def named(self) -> str:
        """The lock files, for people."""
        return ", ".join(lock.name for lock in self.locks)


def make(wanted: Wanted) -> bool:
    """Make the environment unless it exists; returns whether anything was installed. Raises InstallFailed, OSError."""
    mark = wanted.folder / stamp.NAME
    expected = stamp.stamp(wanted.locks, wanted.project, wanted.packages)
    if _read(mark) == expected:
        return False
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with Progress() as progress, _alone(wanted.folder, progress) as held:
        if _read(mark) == expected:
            return False  # another installer has made it
        progress.step(f"preparing {wanted.folder}")
        kept = _prepare(wanted, mark)
        programs = Programs(progress, held)
        before = _content(wanted.folder)
        # uv may have left half a package, which pip would treat as complete.
        installer = (
            "uv"
            if _with_uv(wanted, programs)
            else _with_pip(wanted, programs, kept and _content(wanted.folder) == before)
        )
        _add_packages(wanted, programs, installer)
        for leftover in wanted.folder.glob(".uv-*"):
            shutil.rmtree(leftover)
        mark.write_text(f"{expected}\n", encoding="utf-8")
        packages = sum(1 for _ in wanted.folder.glob("lib/python*/site-packages/*.dist-info"))
        progress.say(f"{packages} packages are in {wanted.folder}: {progress.seconds:.0f} s with {installer}.")
    return True


def _content(folder: Path) -> dict[str, int]:
    """The packages in an environment, and when each of their folders was last changed (ns)."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("lib/python*/site-packages/*")}


def _read(mark: Path) -> str:
    try:
        return mark.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _alone(folder: Path, progress: Progress) -> Iterator[int]:
    """Lock the environment for this process and the programs that get the descriptor.

    The kernel releases it when they end.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step(f"waiting for another installation into {folder}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _prepare(wanted: Wanted, mark: Path) -> bool:
    """Keep a complete environment of this Python for renewal (True).

    Empty any other, because half a package looks complete.
    """
    kept = bool(_read(mark)) and not wanted.fresh and _version(wanted.python) == sys.version
    mark.unlink(missing_ok=True)
    if not kept:
        _empty(wanted.folder)
        venv.EnvBuilder(symlinks=True, with_pip=False).create(wanted.folder)
    return kept


def _version(python: Path) -> str:
    """The version of an interpreter; empty if it does not run."""
    command: list[str | Path] = [python, "-I", "-c", "import sys; sys.stdout.write(sys.version)"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _empty(folder: Path) -> None:
    """Empty an environment, but keep its folder, which installers lock, and the file that identifies it.

    Raises InstallFailed.
    """
    configuration = folder / "pyvenv.cfg"
    paths = [path for path in folder.iterdir() if path != configuration]
    if paths and not configuration.exists():
        raise InstallFailed(f"{folder} is not a Python environment, so nothing is installed there. Move it away.")
    configuration.touch()
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _environ() -> dict[str, str]:
    """The environment variables for pip and uv, without the one that located this package."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _with_uv(wanted: Wanted, programs: Programs) -> bool:
    """Install with uv; if that fails, the progress line says why, and the caller uses pip."""
    settings = pip_settings.read(_environ(), wanted.folder)
    if reasons := sorted(pip_settings.ONLY_PIP & settings.keys()):
        programs.progress.say(f"pip installs, because its settings have {' and '.join(reasons)}.")
    elif wanted.with_uv and (program := _uv(wanted, programs)):
        return _uv_installs(wanted, program, programs, _uv_environ(wanted))
    return False


def _uv_environ(wanted: Wanted) -> dict[str, str]:
    """The environment variables for uv, with pip's settings."""
    settings = pip_settings.read(_environ(), wanted.folder)
    environ = pip_settings.for_uv(settings, _environ(), pip_settings.system_certificates())
    if uv_program.cache(environ) is None:
        environ.setdefault("UV_NO_CACHE", "1")
    return environ


def _add_packages(wanted: Wanted, programs: Programs, installer: str) -> None:
    """Install what a person has added, with the same program; raises InstallFailed, and says that retraind itself is complete."""
    if wanted.packages is None or not wanted.packages.exists():
        return
    programs.progress.step(f"installing the packages of {wanted.packages.name}")
    program = _uv(wanted, programs) if installer == "uv" else None
    environ = _environ() if program is None else _uv_environ(wanted)
    python: list[str | Path] = [wanted.python, "-P", "-m", "pip", "install", "--progress-bar", "off"]
    command = python if program is None else [program, "pip", "install", "--no-progress", "--python", wanted.python]
    more = added_packages.arguments(wanted.packages, wanted.folder, wanted.locks)
    if wanted.compiled:
        more.append("--compile" if program is None else "--compile-bytecode")
    ended = programs.run([*command, *more], wanted.packages.parent, environ)
    if ended.code:
        raise InstallFailed(
            f"the packages of {wanted.packages} cannot be installed beside those of {wanted.named}, whose versions stay.\n{ended.tail}\n"
            "Ask for versions that fit, or take the line out, and run the same command again."
        )


def _uv(wanted: Wanted, programs: Programs) -> Path | None:
    """A working uv; if there is none, the progress line says why."""
    place = uv_program.place(_environ(), wanted.folder)
    if found := uv_program.usable(shutil.which("uv")) or uv_program.usable(place / "bin" / "uv"):
        return found
    wheel = uv_program.bundled_pip()
    if wheel is None:
        programs.progress.say(f"uv is not available, because {sys.executable} has no wheel of pip; pip installs.")
        return None
    programs.progress.step("fetching uv")
    program, ended = uv_program.fetch([wanted.python, wheel / "pip"], place, programs, _environ())
    if ended.code:
        programs.progress.say(f"uv is not available, so pip installs. {ended.tail}")
    return None if ended.code else program


def _uv_installs(wanted: Wanted, program: Path, programs: Programs, environ: dict[str, str]) -> bool:
    install: list[str | Path] = [program, "pip", "install", "--no-progress", "--python", wanted.python, "--no-deps"]
    if wanted.compiled:
        install.append("--compile-bytecode")
    ended = _installed(wanted, install, programs, environ)
    if ended.code:
        programs.progress.say(f"uv failed, so pip installs. {ended.tail}")
    return not ended.code


def _with_pip(wanted: Wanted, programs: Programs, kept: bool) -> str:
    """Install with pip, into a new environment unless one was kept; returns pip's name. Raises InstallFailed."""
    programs.progress.step("making an environment with pip")
    if not kept:
        _empty(wanted.folder)
    _add_pip(wanted.folder)
    install: list[str | Path] = [wanted.python, "-P", "-m", "pip", "install", "--no-deps", "--progress-bar", "off"]
    install.append("--compile" if wanted.compiled else "--no-compile")
    ended = _installed(wanted, install, programs, _environ())
    if ended.code:
        raise InstallFailed(
            f"the packages of {wanted.named} cannot be installed into {wanted.folder}.\n{ended.tail}\n"
            "Is the package index reachable (a mirror is taken from pip's settings: pip config list), and is there room "
            "on the disk? The same command again uses what has been downloaded."
        )
    return "pip"


def _add_pip(folder: Path) -> None:
    """Create the environment with pip in it; raises InstallFailed."""
    try:
        venv.EnvBuilder(symlinks=True, with_pip=True).create(folder)
    except subprocess.CalledProcessError as error:
        raise InstallFailed(
            f"{sys.executable} cannot make an environment with pip in {folder}. Its module ensurepip is missing or does not work: "
            f"install it (Debian, Ubuntu: apt install python3-venv).\n{(error.output or b'').decode(errors='replace')[-500:]}"
        ) from error


def _installed(wanted: Wanted, install: list[str | Path], programs: Programs, environ: dict[str, str]) -> Ended:
    """Install the packages of the lock, then the project, with a command that takes pip's flags."""
    programs.progress.step(f"installing the packages of {wanted.named}")
    locks = [argument for lock in wanted.locks for argument in ("-r", lock)]
    ended = programs.run([*install, "--require-hashes", *locks], wanted.locks[0].parent, environ)
    if ended.code or wanted.project is None:
        return ended
    # The builders are in the lock, so this fetches nothing.
    programs.progress.step("installing the project in place")
    return programs.run([*install, "--no-build-isolation", "--editable", wanted.project], wanted.project, environ)
