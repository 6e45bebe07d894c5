"""A wrong home, as each command meets it: one sentence that says which, why and what to do; nothing is made, nothing is printed."""

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from commands import SEEN, forked
from walking import Command, at_home

from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.journal_format import FORMAT
from retraind.daemon.storage.journal import Journal

NOBODY = 65534
COMMANDS = at_home()
SERVICES = {"run", "serve"}
MAKERS = {"init", "restore"}
"""Commands that may make the folder of a home."""

named = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root acts as another user")


def tree(folder: Path) -> list[str]:
    """The paths below a folder, without what a reader of a database leaves beside it."""
    return sorted(str(path) for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal")))


def given_away(folder: Path) -> None:
    """Make another user the owner of a folder and of everything in it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def refused(command: Command, home: Path, part: str, *, confined: bool = False) -> None:
    """The command ends with the exit code of a mistake and a sentence that has `part`, and has made nothing."""
    before = tree(home.parent)
    done = forked(*command.line, "--home", home, confined=confined)
    assert (done.returncode, done.stdout) == (Exit.USAGE, ""), done.stderr
    assert_sentence(done)
    assert part in done.stderr
    assert tree(home.parent) == before


def assert_sentence(done: "CompletedProcess[str]") -> None:
    """One paragraph for people: neither a traceback nor a word of a library."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]  # a service logs what it does
    assert lines
    assert lines[0].startswith("retraind: "), done.stderr
    for word in ("Traceback", "Error(", "Input should", "pydantic", "validation error", "[Errno"):
        assert word not in done.stderr


@named
def test_folder_that_is_no_home(tmp_path: Path, command: Command) -> None:
    """Absent, a file, below a file, and a folder of other things: each is called what it is."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    absent = {
        tmp_path / "nowhere" / "chrun": "nowhere does not exist" if command.words in MAKERS else "does not exist",
        tmp_path / "file": "file is not a folder",
        tmp_path / "file" / "chrun": "does not exist" if command.words not in MAKERS else "file is not a folder",
    }
    for path, part in absent.items():
        refused(command, path, part)
    if command.words not in MAKERS:
        refused(command, tmp_path / "chrun", f"{tmp_path / 'chrun'} does not exist. Correct --home")
    if command.words not in MAKERS | {"run"}:
        refused(command, tmp_path / "photos", "photos is not a retraind home: it has no registry/")


@named
def test_home_of_a_newer_release(tmp_path: Path, command: Command) -> None:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.make()
    Journal.open(home.journal).close()
    with closing(sqlite3.connect(home.journal)) as journal:
        journal.execute(f"PRAGMA user_version = {FORMAT + 1}")
    refused(command, home.root, f"has format {FORMAT + 1}, this one knows {FORMAT}. Install the newer release")


@needs_root
@named
def test_home_of_another_user(tmp_path: Path, command: Command) -> None:
    """Its folders are closed to others; a folder above it may be, too."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.make()
    given_away(home.root)
    home.root.chmod(0o755)
    refused(command, home.root, f"{home.registry} belongs to user nobody (mode 0700), and user root may", confined=True)
    home.root.chmod(0o700)
    refused(command, home.root, f"{home.root} belongs to user nobody (mode 0700), and user root may", confined=True)
    inner = Home(home.root / "inner")
    refused(command, inner.root, f"{inner.root} can't be reached by user root: Permission denied", confined=True)


@needs_root
@named
def test_home_that_can_not_be_written(tmp_path: Path, command: Command) -> None:
    """Commands that change a home name the folder; the others report what they can read."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.make()
    Journal.open(home.journal).close()
    for path in (home.root, *home.root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    given_away(home.root)
    before = tree(tmp_path)
    done = forked(*command.line, "--home", home.root, confined=True)
    assert tree(tmp_path) == before
    assert done.returncode in set(Exit)
    assert "Traceback" not in done.stderr
    if done.returncode == Exit.FAILED:
        assert_sentence(done)
    writers = {
        "run",
        "serve",
        "ingest",
        "retrain",
        "promote",
        "refuse",
        "rollback",
        "accept",
        "reject",
        "forget",
        "acknowledge",
    }
    if command.words in writers | {"migrate", "claim", "token create", "token revoke"}:
        assert done.returncode == Exit.USAGE
        assert f"{home.root} can't be changed: {home.registry} can't be written to" in done.stderr


@pytest.mark.parametrize("service", sorted(SERVICES))
@pytest.mark.parametrize(
    ("host", "part"),
    [
        ("203.0.113.7", "server.host = '203.0.113.7' is not an address of this machine"),
        ("no.such.invalid", "server.host = 'no.such.invalid' can't be resolved"),
    ],
)
def test_address_of_another_machine(home: Home, service: str, host: str, part: str) -> None:
    home.settings.write_text(f'[server]\nhost = "{host}"\n')
    done = forked(service, home=home)
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert_sentence(done)
    assert part in done.stderr


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_port_of_another_program(home: Home, service: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as program:
        port = program.getsockname()[1]
        done = forked(service, "--port", port, home=home)
    assert done.returncode == Exit.PORT_TAKEN
    assert f"Can't listen on 127.0.0.1:{port}: another program uses it. Stop it, or set server.port" in done.stderr


SETTINGS: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "unknown key": ("[server]\n\nprot = 1\n", {}, ["line 3: there is no setting 'server.prot'", "'server.port'"]),
    "unknown section": ("[sever]\nport = 1\n", {}, ["line 1: there is no setting 'sever'", "'server'"]),
    "wrong type": ("[server]\nport = 'x'\n", {}, ["line 2: server.port = 'x': it must be a whole number."]),
    "out of range": ("[server]\nport = 70000\n", {}, ["line 2: server.port = 70000: it must be at most 65535."]),
    "no such choice": ("[promote]\nmode = 'yes'\n", {}, ["line 2: promote.mode", "it must be 'auto' or 'manual'."]),
    "no table": ("server = 5\n", {}, ["line 1: server = 5: it must be a table of settings."]),
    "no TOML": ("[server]\nport = \n", {}, ["line 2, column 8: not valid TOML: invalid value. Correct that line."]),
    "no end": ("[server\n", {}, ["line 1", "not valid TOML"]),
    "variable": ("", {"RETRAIND_SERVER__PORT": "x"}, ["environment: RETRAIND_SERVER__PORT: server.port = 'x'"]),
    "unknown variable": ("", {"RETRAIND_SERVER__PROT": "1"}, ["no setting 'RETRAIND_SERVER__PROT'", "SERVER__PORT"]),
    "own rule": ("[train]\n# x\ncandidates = ['forrest']\n", {}, ["line 3: train.candidates", "mean 'forest'"]),
}


MISTAKES = list(SETTINGS)


def mistakes(command: Command) -> list[str]:
    """What one command is tried with: a mistake in the file and one in a variable, others for the next; `run` meets all."""
    place = COMMANDS.index(command)
    return MISTAKES if command.words == "run" else [MISTAKES[place % len(MISTAKES)], "variable"]


@named
def test_wrong_setting(home: Home, command: Command) -> None:
    """The same sentence from every command, with the line of the file or the name of the variable."""
    for text, variables, parts in map(SETTINGS.__getitem__, mistakes(command)):
        home.settings.write_text(text)
        environment = {**os.environ, **SEEN, **variables}
        done = forked(*command.line, home=home, env=environment)
        assert (done.returncode, done.stdout) == (Exit.USAGE, "")
        assert_sentence(done)
        for part in parts:
            assert part in done.stderr, part
        if text:
            assert f"retraind: {home.settings}" in done.stderr
