"""git, as a program that does the same whoever calls it: no settings, hooks or signing of the user, everything fsynced.

Level 2.
"""

import os
import subprocess
from pathlib import Path

from daemon.errors import DatasetDamaged

SECONDS = 120
"""No command takes longer unless something is wrong."""

# git's own default fsyncs nothing of a commit but the pack files; signing and hooks of the user have no place here.
SAFE = ("-c", "core.fsync=all", "-c", "gc.auto=0", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null")


def run(folder: Path, *arguments: str) -> str:
    """The output of git in the repository `folder`; raises DatasetDamaged."""
    # Explicit folders: without them a damaged .git would let git walk up into the project's repository.
    command = ["git", f"--git-dir={folder / '.git'}", f"--work-tree={folder}", *SAFE, *arguments]
    return _run(command, folder, arguments[0])


def clone(source: Path, folder: Path) -> None:
    """Copy the repository `source` into the new `folder`, with nothing checked out; raises DatasetDamaged."""
    command = ["git", "clone", "--quiet", "--no-checkout", "--no-hardlinks", str(source), str(folder)]
    _run(command, source, "clone")


def _run(command: list[str], folder: Path, what: str) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env=_environment(), timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise DatasetDamaged(f"git {what} did not end within {SECONDS} s in {folder}.") from None
    if done.returncode:
        raise DatasetDamaged(f"git {what} failed in {folder}: {done.stderr.strip()}", hint="Run `retraind doctor`.")
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
