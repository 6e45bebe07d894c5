"""`--json` of every command: one document of the documented shape on standard output, and errors as JSON."""

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import json_shapes
import jsonschema_rs
import pytest
from commands import ROOT, forked
from walking import Command, every

from retraind.daemon.core import durable
from retraind.daemon.core.errors import POLICY, Cause, Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind
from retraind.daemon.storage.journal import Journal

SCHEMA = json.loads((ROOT / "docs" / "cli.schema.json").read_text())
COMMANDS = every()
named = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)

CASES: dict[str, list[tuple[str, ...]]] = {
    "ingest": [("ingest", "examples/iris-more.csv")],
    "explain": [("explain", "[5.1, 3.5, 1.4, 0.2]")],
    "retrain": [("retrain", "--force")],
    "promote": [("promote", "1")],
    "refuse": [("refuse",)],
    "rollback": [("rollback",)],
    "export": [("export", "1", "-o", "{new}/exported")],
    "status": [("status",)],
    "top": [("top",)],
    "versions": [("versions",)],
    "drops": [("drops",), ("drops", "iris.csv")],
    "lineage": [("lineage", "1")],
    "forget": [("forget", "iris.csv"), ("forget", "--find", "iris.csv")],
    "schema": [("schema",)],
    "doctor": [("doctor",)],
    "backup": [("backup", "{new}/archive.tar")],
    "token": [("token",)],
    "token create": [("token", "create", "shop", "--scope", "read")],
    "token list": [("token", "list")],
    "token revoke": [("token", "revoke", "present")],
    "notify": [("notify",)],
    "notify test": [("notify", "test")],
    "completion": [("completion", "bash")],
    "predict": [("predict", "examples/iris-more.csv", "-o", "{new}/answers.csv")],
    "init": [("init", "examples/customers.csv", "--target", "churned", "--home", "{new}/customers")],
    "accept": [("accept", "odd.csv")],
    "reject": [("reject", "odd.csv")],
    "events": [("events",), ("events", "--open", "--level", "problems")],
    "acknowledge": [("acknowledge", "1"), ("acknowledge", "--all")],
}
"""Command lines of each command, `{new}` being an empty folder."""

ELSEWHERE = {
    "run": "tested below",
    "serve": "as run",
    "restore": "tested below",
    "reproduce": "tests/training",
    "migrate": "tests/storage",
    "claim": "tests/objects",
}
"""Commands that need a service, a training or another server."""


@pytest.fixture
def rest(tmp_path: Path, served: Path) -> Home:
    """A home at rest that serves a version, with a held drop, a token and a target of notices."""
    home = Home(tmp_path / "home")
    shutil.copytree(served, home.root, symlinks=True)
    with closing(Journal.open(home.journal)) as journal:
        journal.events.record(EventKind.REPAIRED, "Something.")
        hold(journal)
    durable.write(home.settings, b'[notify]\ncommand = ["/bin/true"]\n', mode=0o644)
    assert forked("token", "create", "present", "--scope", "read", home=home).returncode == Exit.OK
    return home


def hold(journal: Journal) -> None:
    """Record a drop that waits for a person."""
    counts = {"bytes": 10, "rows_read": 60, "rows_known": 0, "version": 1}
    about: Any = {"sha256": "a" * 64, "name": "odd.csv", **counts, "reason": "It is odd.", "seen_at": None}
    journal.held.hold(about)


def check(words: str, text: str) -> None:
    """One document on one line, of the shape that docs/cli.schema.json promises."""
    assert text.count("\n") == 1
    promised = {**SCHEMA["commands"][words], "$defs": SCHEMA["$defs"]}
    jsonschema_rs.validate(promised, json.loads(text))


def test_schema_follows_from_the_records() -> None:
    """A changed shape is a change of docs/cli.schema.json, which a reviewer sees. `python tests/pages.py` writes it."""
    assert (ROOT / "docs" / "cli.schema.json").read_text() == json_shapes.page()


@named
def test_every_command_has_a_shape(command: Command) -> None:
    assert "--json" in command.options
    assert command.words in json_shapes.COMMANDS
    assert command.words in CASES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("words", CASES)
def test_output_is_of_the_shape(rest: Home, tmp_path: Path, words: str) -> None:
    for line in CASES[words]:
        arguments = [argument.format(new=tmp_path) for argument in line]
        home = None if "--home" in arguments or words == "completion" else rest
        done = forked(*arguments, "--json", home=home)
        assert done.stdout, done.stderr
        check(words, done.stdout)
        for message in done.stderr.splitlines():
            lines = {
                "anyOf": [*SCHEMA["lines"].values(), {"required": ["timestamp", "event"]}],
                "$defs": SCHEMA["$defs"],
            }
            jsonschema_rs.validate(lines, json.loads(message))


def test_restored_home_is_reported(rest: Home, tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    assert forked("backup", archive, home=rest).returncode == Exit.OK
    done = forked("restore", archive, "--json", "--home", tmp_path / "again")
    check("restore", done.stdout)
    assert any("restored as of" in json.loads(line).get("message", "") for line in done.stderr.splitlines())


def test_service_names_its_address(home: Home) -> None:
    command = [sys.executable, "-m", "retraind.daemon", "serve", "--port", "0", "--json", "--home", str(home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            check("serve", line)
            assert json.loads(line)["pid"] == process.pid
            assert json.loads(line)["dashboard"].startswith("http://127.0.0.1:")
        finally:
            process.terminate()


@named
def test_error_is_json_too(tmp_path: Path, command: Command) -> None:
    """A wrong option, and a wrong home: nothing on standard output; the last line names cause and exit code."""
    mistakes = [(*command.line, "--json", "--fly")]
    mistakes += [(*command.line, "--json", "--home", str(tmp_path / "no" / "home"))] * ("--home" in command.options)
    for arguments, cause in zip(mistakes, (Cause.USAGE, Cause.WRONG_HOME), strict=False):
        done = forked(*arguments)
        assert (done.returncode, done.stdout) == (Exit.USAGE, ""), done.stderr
        line = json.loads(done.stderr.splitlines()[-1])
        jsonschema_rs.validate({**SCHEMA["lines"]["error"], "$defs": SCHEMA["$defs"]}, line)
        error: dict[str, Any] = line["error"]
        assert (error["cause"], error["exit"], error["name"]) == (cause, Exit.USAGE, "USAGE")
        assert POLICY[cause].exit == Exit.USAGE
        assert error["message"]
