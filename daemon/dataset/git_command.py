"""Runs git independently of the user: without the user's settings, ignore files, hooks or signing.

Everything is fsynced.
"""

import contextlib
import os
import subprocess
from pathlib import Path

from retraind.daemon.core.errors import DatasetDamaged, Unavailable

SECONDS = 60
"""Time limit of a command. Two commands that hang, one after the other, stay below `heartbeat.STEP_SECONDS`."""

NICE = 10
"""Niceness of background commands; children inherit it."""

SETTINGS = {"core.excludesFile": "/dev/null", "core.attributesFile": "/dev/null", "safe.directory": "*"}
"""Without these, git reads the user's ~/.config/git, and root's git refuses a home of another user."""

# By default git fsyncs only the pack files of a commit; the user's signing and hooks must not run here.
SAFE = ("-c", "core.fsync=all", "-c", "gc.auto=0", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null")


def run(folder: Path, *arguments: str, repository: Path | None = None, stdin: bytes | None = None) -> str:
    """The output of git in `folder`, with the repository `.git` in it or `repository`.

    Raises DatasetDamaged, Unavailable. `stdin` goes to its standard input.
    """
    # With explicit folders, because git would walk up from a damaged .git into the project's repository.
    command = ["git", f"--git-dir={repository or folder / '.git'}", f"--work-tree={folder}", *SAFE, *arguments]
    return _run(command, folder, arguments[0], stdin)


def start(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a long command in the background, at low priority; raises OSError."""
    command = ["git", f"--git-dir={folder / '.git'}", f"--work-tree={folder}", *SAFE, *arguments]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=_environment(), stdin=quiet, stdout=quiet, stderr=quiet)
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    return process


def clone(source: Path, folder: Path) -> None:
    """Copy the repository `source` into the new `folder`, with nothing checked out; raises DatasetDamaged, Unavailable."""
    command = ["git", "clone", "--quiet", "--no-checkout", "--no-hardlinks", str(source), str(folder)]
    _run(command, source, "clone")


def _run(command: list[str], folder: Path, purpose: str, stdin: bytes | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, input=stdin, capture_output=True, env=_environment(), timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git {purpose} did not end within {SECONDS} s in {folder}.") from None
    if done.returncode < 0:
        raise Unavailable(f"git {purpose} was ended by signal {-done.returncode} in {folder}.")
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise DatasetDamaged(f"git {purpose} failed in {folder}: {reason}", hint="Run `retraind doctor`.")
    return done.stdout.decode(errors="replace").strip()


def isolate() -> None:
    """Hide the user's settings from libraries in this process that read repositories themselves, as DVC's do."""
    isolated = _environment()
    for name in [name for name in os.environ if name.startswith("GIT_") and name not in isolated]:
        del os.environ[name]
    os.environ.update({name: value for name, value in isolated.items() if name.startswith("GIT_")})


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    keys = {f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(SETTINGS)}
    values = {f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(SETTINGS.values())}
    return {**kept, **keys, **values} | {
        "GIT_CONFIG_COUNT": str(len(SETTINGS)),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        # `git status` would rewrite the index, and its lock would block the daemon.
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
