"""The release of this code: its version and its commit, as they are when the process starts."""

import re
import sys
from pathlib import Path

VERSION = "0.2.0"
"""The version; pyproject.toml reads it here."""

RECORD = "commit.txt"
"""The file beside this module that has the commit. Builds and `git archive` write it; in a checkout it has a placeholder."""

FULL = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def recorded(folder: Path) -> str | None:
    """The commit that a build has written into the folder of this package; None without one."""
    return _commit(_first_line(folder / RECORD))


def checked_out(root: Path) -> str | None:
    """The commit of the checkout in `root`; None if there is none. Reads git's files, because git itself takes milliseconds."""
    git = root / ".git"
    if git.is_file():  # of another worktree, or a submodule
        git = root / _first_line(git).removeprefix("gitdir: ")
    head = _first_line(git / "HEAD")
    if not head.startswith("ref: "):
        return _commit(head)
    name = head.removeprefix("ref: ")
    common = git / _first_line(git / "commondir")
    return _commit(_first_line(common / name)) or _packed(common / "packed-refs", name)


def _packed(refs: Path, name: str) -> str | None:
    lines = (line.partition(" ") for line in _text(refs).splitlines())
    return next((_commit(commit) for commit, _, ref in lines if ref == name), None)


def _commit(text: str) -> str | None:
    return text if FULL.fullmatch(text) else None


def _first_line(path: Path) -> str:
    return _text(path).partition("\n")[0].strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


_FOLDER = Path(__file__).parent
COMMIT = recorded(_FOLDER) or checked_out(_FOLDER.parent)
"""The commit, 40 hexadecimal digits; None if neither a build nor a checkout has it."""


def sentence() -> str:
    """Version and commit, as `retraind --version` prints them."""
    return f"retraind {VERSION}" + (f" (commit {COMMIT[:12]})" if COMMIT else "")


if __name__ == "__main__":
    sys.stdout.write(f"{COMMIT or ''}\n")
