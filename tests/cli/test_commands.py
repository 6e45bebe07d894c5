"""The command line as people use it: a process, its output, its exit code. The running daemon has tests of its own.

A test that needs neither a fresh interpreter nor an open journal forks its commands.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import closing
from typing import Any

import bundles
import pytest
from commands import forked
from journal_entries import a_batch, a_drop, a_version
from running import COMMANDS, HERE, retraind

from retraind.daemon.core import durable, requests
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.storage.journal import Journal

# Help


def test_there_are_the_commands_that_are_promised() -> None:
    """Each one of the list, and no other."""
    promised = "run serve ingest predict explain export retrain status versions drops accept reject lineage reproduce forget promote refuse rollback init schema doctor token backup restore migrate claim notify events acknowledge top completion"
    assert sorted(promised.split()) == COMMANDS


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_an_example(command: str) -> None:
    """Every command explains itself, with an example that names it and its --home."""
    done = forked(*filter(None, [command, "--help"]))
    assert done.returncode == Exit.OK
    assert forked(*filter(None, [command, "-h"])).stdout == done.stdout
    assert f"Example: retraind {command}".rstrip() in " ".join(done.stdout.split())
    assert command in ("", "completion") or "--home" in done.stdout


# Errors


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["fly"], Exit.USAGE, "No such command"),
        (["status", "--fast"], Exit.USAGE, "No such option"),
        (["promote", "best"], Exit.USAGE, "a valid int"),
        (["promote", str(2**53 + 1)], Exit.USAGE, "equal to 9007199254740992"),
        (["refuse", str(2**64)], Exit.USAGE, "equal to 9007199254740992"),
        (["rollback", "0"], Exit.USAGE, "equal to 1"),
        (["lineage", str(2**63)], Exit.USAGE, "equal to 9007199254740992"),
        (["reproduce", str(2**63)], Exit.USAGE, "equal to 9007199254740992"),
        (["drops", "--limit", str(2**63)], Exit.USAGE, "equal to 9007199254740992"),
        (["token"], Exit.NOT_FOUND, "first `retraind run`"),
        (["ingest", "nowhere.csv"], Exit.NOT_FOUND, "nowhere.csv is not a file"),
        (["init", "nowhere.csv", "--target", "y"], Exit.USAGE, "nowhere.csv"),
        (["init", "examples/iris-more.csv", "--target", "colour"], Exit.USAGE, "no column 'colour'"),
        (["run", "--port", "99999"], Exit.USAGE, "server.port = 99999"),
    ],
)
def test_mistake_is_a_sentence_and_an_exit_code(home: Home, arguments: list[str], code: Exit, part: str) -> None:
    """No traceback, nothing on standard output, and a code that scripts can tell apart."""
    where = ["--home", str(home.root)] if arguments != ["fly"] else []
    done = forked(*arguments, *where)
    assert (done.returncode, done.stdout) == (code, "")
    assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_settings_are_named_by_every_command(home: Home) -> None:
    """A misspelt key stops whatever was asked, with the nearest right one."""
    home.settings.write_text("[server]\nprot = 1\n")
    done = forked("status", home=home)
    assert done.returncode == Exit.USAGE
    assert "'server.prot'. Did you mean 'server.port'?" in done.stderr


def test_second_daemon_says_who_owns_the_home(home: Home) -> None:
    """While one process holds the lock another exits at once and changes nothing."""
    fd = durable.try_lock(home.lock)
    assert fd is not None
    home.lock.write_text("4711\n")
    done = retraind("run", "--port", 0, home=home)
    os.close(fd)
    assert done.returncode == Exit.ALREADY_RUNNING
    assert f"Another daemon (pid 4711) owns {home.root}" in done.stderr
    assert not home.token.exists()


@pytest.mark.parametrize("command", ["run", "serve"])
def test_taken_port_is_reported(home: Home, command: str) -> None:
    """The port of another program is not shared, even where the kernel would allow it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = retraind(command, "--port", taken.getsockname()[1], home=home)
    assert done.returncode == Exit.PORT_TAKEN
    assert "--port 0" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "kind", "version", "force"),
    [
        (["retrain"], "retrain", None, False),
        (["retrain", "--force"], "retrain", None, True),
        (["promote"], "promote", None, False),
        (["promote", 4], "promote", 4, False),
        (["refuse"], "refuse", None, False),
        (["rollback"], "rollback", None, False),
        (["rollback", 2], "rollback", 2, False),
    ],
)
def test_request_is_on_disk_when_the_command_ends(
    home: Home, arguments: list[Any], kind: str, version: int | None, force: bool
) -> None:
    """It waits for the daemon, which need not run; the request's id is the only thing on standard output."""
    done = forked(*arguments, "--json", home=home)
    assert done.returncode == Exit.OK
    [request] = requests.pending(home)
    assert json.loads(done.stdout) == {"request": request.id, "state": "queued", "sentence": None}
    assert (request.kind, request.version, request.force, request.by) == (kind, version, force, "cli")
    assert "is not running" in done.stderr


def test_versions_are_listed_newest_first(home: Home) -> None:
    """Which is served, what became of each and why; texts in brackets stay texts."""
    assert forked("versions", "--json", home=home).stdout == "[]\n"
    with closing(Journal.open(home.journal)) as journal:
        journal.versions.judge(a_version(1), VersionState.PROMOTED, "First version.")
        journal.versions.judge(a_version(2), VersionState.REFUSED, "Recall of '[/b]' falls [red].")
    bundles.point(home, bundles.make(home, 1))
    printed = json.loads(forked("versions", "--json", home=home).stdout)
    text = forked("versions", home=home).stdout
    assert [(row["version"], row["state"], row["served"]) for row in printed] == [
        (2, "refused", False),
        (1, "promoted", True),
    ]
    assert "Recall of '[/b]' falls [red]." in text
    assert text.index("refused") < text.index("promoted")


def test_versions_show_their_live_score(home: Home) -> None:
    """As soon as a prediction has been labelled."""
    with closing(Journal.open(home.journal)) as journal:
        journal.versions.judge(a_version(1), VersionState.PROMOTED, "First version.")
        sha256 = durable.sha256(b"labels")
        label = {"version": 1, "prediction": "setosa", "drop": sha256}
        truths = ("setosa", "setosa", "setosa", "virginica")
        labels: list[Any] = [{**label, "prediction_id": f"p{n}", "truth": truth} for n, truth in enumerate(truths)]
        journal.batches.accept(a_batch(), [a_drop(sha256=sha256)], labels)
    printed = json.loads(forked("versions", "--json", home=home).stdout)
    assert "0.750 (n=4)" in forked("versions", home=home).stdout
    assert printed[0]["live"]["recall"] == {"setosa": 1.0, "virginica": 0.0}


def test_token_is_printed_alone(home: Home) -> None:
    """So that it can be used in a script."""
    durable.write(home.token, b"secret\n", mode=0o600)
    assert forked("token", home=home).stdout == "secret\n"


def test_doctor_looks_at_every_part(home: Home) -> None:
    """A home in order is found to be; each damaged part is named, with what to do, and the others are looked at all the same."""
    home.schema.write_bytes(bundles.SCHEMA.dump())
    home.segments.mkdir()
    bundles.point(home, bundles.make(home, 1))
    (home.segments / "1.parquet").write_bytes(b"x")
    with closing(Journal.open(home.journal)) as journal:
        journal.batches.accept(a_batch(1) | {"sha256": durable.sha256(b"x")}, [a_drop()])
    done = forked("doctor", "--json", home=home)
    printed = json.loads(done.stdout)
    assert all(one["ok"] for one in printed), printed
    assert {"settings", "schema", "journal", "segments", "bundle"} <= {one["what"] for one in printed}
    assert done.returncode == Exit.OK
    (home.segments / "1.parquet").write_bytes(b"y")
    (home.bundle(1) / "model.onnx").unlink()
    home.schema.write_text("{}")
    done = forked("doctor", home=home)
    assert done.returncode == Exit.UNHEALTHY
    for part in ("BAD schema", "BAD segments", "BAD bundle", "ok  journal"):
        assert part in done.stdout
    home.journal.write_bytes(b"no database" * 1000)
    for left in home.registry.glob("journal.db-*"):
        left.unlink()
    assert "BAD journal" in forked("doctor", home=home).stdout


def test_home_is_taken_from_the_environment(home: Home) -> None:
    """RETRAIND_HOME stands for --home."""
    durable.write(home.token, b"secret\n")
    assert forked("token", env=HERE["env"] | {"RETRAIND_HOME": str(home.root)}).stdout == "secret\n"


def test_new_home_is_private(home: Home) -> None:
    """Models, tokens and requests are the owner's; making the folders again keeps what is there."""
    home.make()
    for folder in (home.registry, home.requests, home.bundles, home.artifacts, home.workers):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_serve_answers_alone_and_ends_with_zero(home: Home) -> None:
    """Without a daemon the workers answer; SIGTERM ends them and the command."""
    bundles.point(home, bundles.make(home, 1))
    home.schema.write_bytes(bundles.SCHEMA.dump())
    command = [sys.executable, "-m", "retraind.daemon", "serve", "--port", "0", "--home", str(home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **HERE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("retraind: the dashboard is at http://127.0.0.1:")
        port = int(line.split(":")[3].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == Exit.OK, errors
