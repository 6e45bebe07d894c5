"""Completion in real shells: commands, options, and the versions, drops and tokens of a home."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import forked
from journal_entries import a_batch, a_drop, a_version
from terminals import Terminal

from retraind.daemon.access import tokens
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.states import VersionState
from retraind.daemon.storage.journal import Journal

BASH, ZSH, FISH = (shutil.which(name) for name in ("bash", "zsh", "fish"))
HOSTILE = "$(touch pwned);`touch pwned`.csv"


@pytest.fixture
def full(home: Home) -> Home:
    """A home with versions, drops and a token."""
    with closing(Journal.open(home.journal)) as journal:
        for number in (1, 2, 12):
            journal.versions.judge(a_version(number), VersionState.PROMOTED, "First version.")
        for number, name in enumerate(("march.csv", "may.csv", HOSTILE, "two words.csv"), 1):
            journal.batches.accept(a_batch(number), [a_drop(name=name, sha256=f"{number:064x}")])
    tokens.create(home, "dashboard", [Scope.READ])
    return home


def environment(home: Home) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return {**plain, "PATH": path, "RETRAIND_HOME": str(home.root), "HOME": str(home.root), "TERM": "xterm"}


def bash(home: Home, line: str) -> list[str]:
    """The answers of bash to a tab at the end of the line; the script comes from `retraind completion`."""
    if BASH is None:
        pytest.skip("bash is not installed")
    words = [word or '""' for word in line.split(" ")]
    script = f"""
eval "$SCRIPT"
complete -p retraind >/dev/null || exit 1
COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}
_retraind_completion retraind
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    command = [BASH, "--norc", "-c", script]
    variables = environment(home) | {"SCRIPT": forked("completion", "bash").stdout}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, cwd=home.root, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def fish(home: Home, line: str) -> list[str]:
    if FISH is None:
        pytest.skip("fish is not installed")
    folder = home.root / ".config" / "fish" / "completions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "retraind.fish").write_text(forked("completion", "fish").stdout)
    command = [FISH, "-c", f"complete -C '{line}'"]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, cwd=home.root, check=True)
    return [answer.split("\t")[0] for answer in done.stdout.splitlines()]


SHELLS: dict[str, Callable[[Home, str], list[str]]] = {"bash": bash, "fish": fish}


@pytest.mark.parametrize("shell", SHELLS)
def test_shell_completes(full: Home, shell: str) -> None:
    """Commands, options, and what the home holds. A name that a shell might run is not offered."""
    answers = SHELLS[shell]
    assert {"retrain", "refuse", "reject", "reproduce", "restore"} <= set(answers(full, "retraind re"))
    assert {"versions"} == set(answers(full, "retraind versi"))
    assert {"--home", "--json"} <= set(answers(full, "retraind status --"))
    assert {"create", "list", "revoke"} <= set(answers(full, "retraind token "))
    assert {"1", "2", "12"} <= set(answers(full, "retraind lineage "))
    assert {"1", "12"} <= set(answers(full, "retraind rollback 1")) <= {"1", "12"}
    assert {"march.csv", "may.csv"} == set(answers(full, "retraind forget m"))
    assert not any("$" in name or name.startswith("two") for name in answers(full, "retraind drops "))
    assert {"dashboard"} == set(answers(full, "retraind token revoke d"))
    assert {"bash", "zsh", "fish"} == set(answers(full, "retraind completion "))
    assert not list(full.root.glob("pwned*"))


@pytest.fixture
def zsh(full: Home) -> Iterator[Terminal]:
    """zsh at a terminal, with the script in a folder of its search path, as the documentation says."""
    if ZSH is None:
        pytest.skip("zsh is not installed")
    folder = full.root / ".zfunc"
    folder.mkdir()
    (folder / "_retraind").write_text(forked("completion", "zsh").stdout)
    (full.root / ".zshrc").write_text("PS1='ready> '\nfpath=(~/.zfunc $fpath)\nautoload -Uz compinit && compinit -u\n")
    terminal = Terminal([ZSH, "-i"], environment(full), columns=200, cwd=full.root)
    terminal.shows("ready>")
    yield terminal
    terminal.close()


def test_zsh_completes(full: Home, zsh: Terminal) -> None:
    """At the first tab already, when zsh loads the function from its file."""
    zsh.type("retraind versi\t")
    zsh.shows("retraind versions")
    zsh.type("\x15retraind forget mar\t")
    zsh.shows("march.csv")
    zsh.type("\x15retraind re\t\t")
    shown = zsh.shows("restore")
    assert {"retrain", "refuse", "reject", "reproduce"} <= set(shown.split())
    zsh.type("\x15retraind drops \t\t")
    assert "pwned" not in zsh.shows("may.csv")
    assert not list(full.root.glob("pwned*"))


@pytest.mark.parametrize("home_is", ["absent", "damaged"])
def test_no_home_completes_nothing_and_says_nothing(tmp_path: Path, home_is: str) -> None:
    """A word that is half written is not spoilt by an error."""
    home = Home(tmp_path / "home")
    if home_is == "damaged":
        home.root.mkdir()
        home.make()
        home.journal.write_bytes(b"no database" * 1000)
    asked = {"_RETRAIND_COMPLETE": "complete_bash", "COMP_WORDS": "retraind lineage ", "COMP_CWORD": "2"}
    done = forked(env={**os.environ, **asked, "RETRAIND_HOME": str(home.root)})
    assert (done.returncode, done.stdout.strip(), done.stderr) == (Exit.OK, "", "")
