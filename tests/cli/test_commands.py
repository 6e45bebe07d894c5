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
import time
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
from commands import forked
from service import wait_until
from test_journal import a_batch, a_drop, a_version

from daemon.cli import commands
from daemon.cli.report import health
from daemon.core import durable, requests, settings, status
from daemon.core.errors import Exit
from daemon.core.home import Home
from daemon.core.states import DropState, VersionState
from daemon.core.status import Check, Status
from daemon.schema import schema
from daemon.storage.journal import Journal

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(commands.COMMANDS)
HERE: dict[str, Any] = {"env": os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}, "cwd": ROOT, "text": True}


def retraind(*arguments: object, home: Home | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    where = [] if home is None else ["--home", str(home.root)]
    command = [sys.executable, "-m", "daemon", *map(str, arguments), *where]
    done: subprocess.CompletedProcess[str] = subprocess.run(command, capture_output=True, timeout=60, **HERE | more)
    return done


def a_status(**changes: Any) -> Status:
    """The status of a daemon that this process pretends to be."""
    facts: dict[str, Any] = {
        "pid": os.getpid(),
        "state": "ready",
        "heartbeat": time.monotonic(),
        "rows": 150,
        "rows_pending": 7,
    }
    facts |= {"at": "2026-01-01T00:00:00.000Z", "started_at": "2026-01-01T00:00:00.000Z"}
    facts |= {"checks": {"disk": Check(ok=True, detail="Plenty.")}}
    return Status.model_validate(facts | changes)


# Help


def test_there_are_the_commands_that_are_promised() -> None:
    """Each one of the list, and no other."""
    promised = "run serve ingest retrain status versions drops accept reject lineage reproduce forget promote refuse rollback init schema doctor token backup restore"
    assert sorted(promised.split()) == COMMANDS


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_an_example(command: str) -> None:
    """Every command explains itself, with an example that names it and its --home."""
    done = forked(*filter(None, [command, "--help"]))
    assert done.returncode == Exit.OK
    assert f"Example: retraind {command}".rstrip() in " ".join(done.stdout.split())
    assert not command or "--home" in done.stdout


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
def test_mistake_is_a_sentence_and_an_exit_code(tmp_path: Path, arguments: list[str], code: Exit, part: str) -> None:
    """No traceback, nothing on standard output, and a code that scripts can tell apart."""
    where = ["--home", str(tmp_path)] if arguments != ["fly"] else []
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


# Without and beside a daemon


def test_status_without_a_daemon(home: Home) -> None:
    """Nothing runs: exit code 5, and what to do; the same as JSON."""
    done = forked("status", home=home)
    assert done.returncode == Exit.UNHEALTHY
    assert "UNHEALTHY" in done.stdout
    assert "retraind run" in done.stdout
    printed = json.loads(forked("status", "--json", home=home).stdout)
    assert (printed["healthy"], printed["model_version"], printed["checks"]["daemon"]["ok"]) == (False, None, False)


def test_status_beside_a_daemon(home: Home) -> None:
    """All checks of the daemon count; one that fails makes the whole unhealthy."""
    bundles.point(home, bundles.make(home, 3))
    status.publish(home.status, a_status())
    report = health.read(home)
    assert (report["healthy"], report["model_version"], report["rows"], report["rows_pending"]) == (True, 3, 150, 7)
    assert health.as_text(report).startswith("healthy")
    status.publish(home.status, a_status(checks={"disk": Check(ok=False, detail="Full.")}))
    done = forked("status", home=home)
    assert done.returncode == Exit.UNHEALTHY
    assert "BAD disk: Full." in done.stdout


def test_status_says_what_the_served_version_is_on_trial_for(home: Home, journal: Journal) -> None:
    """As /health and the page do."""
    bundles.point(home, bundles.make(home, 3))
    status.publish(home.status, a_status())
    journal.versions.judge(
        a_version(3) | {"scores": json.dumps({"challenger": {"rolling": {"n": 0}}})}, VersionState.PROMOTED, "first"
    )
    detail = health.read(home)["checks"]["model"]["detail"]
    assert detail.endswith("On trial: no held-out row judges it.")


def test_status_names_long_steps(home: Home) -> None:
    """The one that the loop is in, and the longest of the hour."""
    steps = {
        "step": {"name": "committing batch 3", "seconds": 7.2},
        "longest_step": {"name": "taking drops", "seconds": 9.5},
    }
    status.publish(home.status, a_status(**steps))
    done = forked("status", home=home)
    assert "longest step of the last hour: taking drops, 9.5 s" in done.stdout
    assert "ok  daemon: Running, committing batch 3 for 7 s." in done.stdout


def test_status_tells_a_stopped_daemon_from_one_that_is_gone(home: Home) -> None:
    """By the kernel: a fresh heartbeat says nothing of it."""
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: not a_status(pid=process.pid).alive)
            status.publish(home.status, a_status(pid=process.pid))
            done = forked("status", home=home)
            assert done.returncode == Exit.UNHEALTHY
            assert f"`kill -CONT {process.pid}` lets it go on" in done.stdout
        finally:
            process.kill()
    assert "Not running: start it" in forked("status", home=home).stdout


@pytest.mark.parametrize("changes", [{"heartbeat": 0.0}, {"pid": 2**22 + 1}], ids=["hangs", "gone"])
def test_daemon_that_hangs_or_is_gone_is_not_alive(home: Home, changes: dict[str, Any]) -> None:
    """An old heartbeat, or a process that does not exist, is no daemon; nor is a file that is no status."""
    status.publish(home.status, a_status(**changes))
    state = status.read(home.status)
    assert state is not None
    assert not state.alive
    home.status.write_text("{")
    assert status.read(home.status) is None


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
    tmp_path: Path, arguments: list[Any], kind: str, version: int | None, force: bool
) -> None:
    """It waits for the daemon, which need not run; the request's id is the only thing on standard output."""
    home = Home(tmp_path)
    done = forked(*arguments, "--json", home=home)
    assert done.returncode == Exit.OK
    [request] = requests.pending(home)
    assert json.loads(done.stdout) == {"request": request.id}
    assert (request.kind, request.version, request.force, request.by) == (kind, version, force, "cli")
    assert "is not running" in done.stderr


def test_ingest_copies_the_file_whole(home: Home) -> None:
    """A copy lands in the inbox under a name that is free there and that the inbox takes."""
    for name, expected in (
        ("a.csv", "a.csv"),
        ("a.csv", "-a.csv"),
        (".b.csv", "-.b.csv"),
        ("README.md", "README.csv"),
        ("c.tmp", "c.csv"),
    ):
        (home.root / name).write_text(name + expected)
        done = forked("ingest", home.root / name, home=home)
        assert done.returncode == Exit.OK
        printed = done.stdout.strip()
        assert printed.endswith(expected)
        assert (home.root / printed).read_text() == name + expected
    assert len(list(home.inbox.glob("*.csv"))) == 5


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


@pytest.mark.parametrize("command", ["status", "versions", "drops", "doctor"])
def test_a_misspelt_home_is_noticed(tmp_path: Path, command: str) -> None:
    """An empty table would look like lost data; nothing is made there."""
    absent = Home(tmp_path / "chrun")
    assert f"{absent.root} is not a retraind home yet" in forked(command, home=absent).stderr
    assert not absent.root.exists()


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


def test_drops_are_listed_and_shown_one_by_one(home: Home) -> None:
    """By id, sha256 or name; what a file says of itself does not reach the terminal as it is."""
    assert forked("drops", "--json", home=home).stdout == "[]\n"
    with closing(Journal.open(home.journal)) as journal:
        seen = {"seen_at": "2026-01-01T00:00:00.000Z"}
        seq = journal.batches.accept(a_batch(), [a_drop("good.csv", **seen)])
        journal.batches.commit(seq, "c" * 40, "d" * 32)
        bad = a_drop("bad\x1b[31m.csv", sha256="b" * 64, line=3, column="petal", reason="'[red]' is not a number.")
        journal.drops.refuse(bad, DropState.REJECTED, "bad.csv: '[red]' is not a number.")
    listed = json.loads(forked("drops", "--json", home=home).stdout)
    assert [row["state"] for row in listed] == ["rejected", "accepted"]
    text = forked("drops", home=home).stdout
    assert "line 3, 'petal': '[red]' is not a number." in text
    assert "\x1b" not in text
    assert json.loads(forked("drops", "--limit", 1, "--json", home=home).stdout) == listed[:1]
    for key in ("2", "b" * 64, "bad\x1b[31m.csv"):
        printed = json.loads(forked("drops", key, "--json", home=home).stdout)
        assert printed == {**listed[0], "taught": {"count": 0, "newest": []}}
    shown = forked("drops", "good.csv", home=home).stdout
    assert "2026-01-01T00:00:00.000Z" in shown
    assert "c" * 40 in shown
    none = forked("drops", "none.csv", home=home)
    assert (none.returncode, none.stdout) == (Exit.NOT_FOUND, "")
    assert "There is no drop 'none.csv'." in none.stderr
    home.journal.write_bytes(b"no journal at all, but long enough to be one" * 50)
    assert "can't be read" in forked("drops", home=home).stderr


def test_name_that_several_drops_share_is_not_forgotten(home: Home) -> None:
    """A nightly export has the same name each day: a name that several drops have had removes no rows; the id says which drop."""
    first, second = (a_drop("export.csv", letter * 64, rows_accepted=rows) for letter, rows in (("a", 30), ("b", 33)))
    with closing(Journal.open(home.journal)) as journal:
        journal.batches.accept(a_batch(1), [first])
        journal.batches.accept(a_batch(2), [second])
    done = forked("forget", "export.csv", home=home)
    assert (done.returncode, done.stdout, requests.pending(home)) == (Exit.USAGE, "", [])
    assert "'export.csv' may be any of 2 drops" in done.stderr
    assert f"id 2: export.csv, 2026-01-01 00:00, 33 rows, accepted, sha256 {'b' * 64}" in done.stderr
    with closing(Journal.open(home.journal)) as journal:
        taken = journal.drops.taken(first["sha256"])
        assert taken is not None
        journal.erasures.forget(taken, "1.parquet", 30, None, "cli")
    done = forked("forget", "--purge", "export.csv", home=home)
    assert (done.returncode, requests.pending(home)) == (Exit.USAGE, [])
    assert "id 1: export.csv, 2026-01-01 00:00, 30 rows, forgotten" in done.stderr
    assert forked("forget", "--purge", "1", home=home).returncode == Exit.OK
    [request] = requests.pending(home)
    assert (request.drop, request.purge) == ("a" * 64, True)


def test_duplicate_is_forgotten_where_its_rows_are(home: Home) -> None:
    """Its name means the drop that brought them; a name of nothing but refused files means none."""
    with closing(Journal.open(home.journal)) as journal:
        journal.batches.accept(a_batch(), [a_drop("good.csv"), a_drop("other.csv", "b" * 64)])
        journal.drops.refuse(a_drop("again.csv"), DropState.DUPLICATE, "The same bytes.", batch=1)
        journal.drops.refuse(a_drop("bad.csv", "c" * 64), DropState.REJECTED, "No CSV.")
    assert forked("forget", "again.csv", home=home).returncode == Exit.OK
    with closing(Journal.open(home.journal)) as journal:
        journal.drops.refuse(a_drop("again.csv", "b" * 64), DropState.DUPLICATE, "The same bytes.", batch=1)
    for key, code, part in (
        ("again.csv", Exit.USAGE, "may be any of 2 drops"),
        ("bad.csv", Exit.NOT_FOUND, "no rows of bad.csv: it was rejected"),
        ("none.csv", Exit.NOT_FOUND, "There is no drop 'none.csv'."),
    ):
        done = forked("forget", key, home=home)
        assert (done.returncode, part in done.stderr) == (code, True), done.stderr
    [request] = requests.pending(home)
    assert request.drop == "a" * 64


def test_init_writes_schema_and_settings(home: Home, tmp_path: Path) -> None:
    """A user's file gives a schema, the settings file lists every default, and a second init changes nothing."""
    own = tmp_path / "churn.csv"
    own.write_text("age,plan [/x],left\n30,basic,no\n,plus,yes\n")
    done = forked("init", own, "--target", "left", home=home)
    assert done.returncode == Exit.OK, done.stderr
    assert "plan [/x]" in done.stdout
    assert json.loads(home.schema.read_text())["classes"] == ["no", "yes"]
    assert tomllib.loads(home.settings.read_text()) == {}
    assert settings.load(home.settings).server.port == 5000
    before = home.schema.read_bytes()
    again = forked("init", own, "--target", "plan [/x]", home=home)
    assert again.returncode == Exit.USAGE
    assert "already has data" in again.stderr
    assert home.schema.read_bytes() == before


def test_init_says_what_it_decided(home: Home, tmp_path: Path) -> None:
    """Free text is left out, and the settings let drops keep it; the task can be chosen; the decimal comma is noticed."""
    own = tmp_path / "rents.csv"
    own.write_text("area;note;rooms\n" + "".join(f"{i},5;a note {i};{i % 4}\n" for i in range(101)) + "torn\n")
    done = forked("init", own, "--target", "rooms", "--task", "regression", home=home)
    assert done.returncode == Exit.OK, done.stderr
    saved = schema.load(home.schema)
    assert saved is not None
    assert (saved.task, saved.decimal, saved.features) == ("regression", ",", ["area"])
    assert tomllib.loads(home.settings.read_text()) == {}
    assert saved.ignored == ["note"]
    assert "ignore" in done.stdout
    assert "an id" in done.stdout
    assert "decimal comma" in done.stderr
    assert "too few cells: 1." in done.stderr
    assert "Drops may contain the columns of kind `ignore`" in done.stderr


def test_init_says_what_is_unusual_and_takes_advice(home: Home, tmp_path: Path) -> None:
    """Columns are left out or of another kind as told; the same as JSON; what can be done next is named."""
    own = tmp_path / "own.csv"
    own.write_text("id,zip,age,fee,y\n" + "".join(f"{i},{i % 5},{i * 7 % 50},{i}.5,{i % 4}\n" for i in range(100)))
    done = forked("init", own, "--target", "y", "--kind", "zip=category", "--ignore", "age", "--json", home=home)
    assert done.returncode == Exit.OK, done.stderr
    printed = json.loads(done.stdout)
    lines = {line["column"]: (line["kind"], line["why"]) for line in printed["columns"]}
    assert lines["zip"] == ("category", "")
    assert lines["age"] == ("ignore", "as you said")
    assert lines["id"] == ("ignore", "a row number")
    assert lines["y"] == ("target", "classification: 0, 1, 2, 3 (4 whole numbers; --task regression for the other)")
    assert printed["schema"]["ignored"] == ["id", "age"]
    assert "retraind schema --kind COL=KIND" in done.stderr
    assert "Next: retraind run" in done.stderr


def test_schema_is_shown_and_changed_without_a_restart(home: Home, tmp_path: Path) -> None:
    """A column leaves, another gets another kind, a marker is added."""
    own = tmp_path / "own.csv"
    own.write_text("a,zip,n,y\n" + "".join(f"{i % 9},{i % 5},{i % 7},{i % 2}\n" for i in range(50)))
    assert forked("init", own, "--target", "y", home=home).returncode == Exit.OK
    done = forked("schema", "--ignore", "a", "--kind", "zip=category", "--missing", "NA", "--json", home=home)
    assert done.returncode == Exit.OK, done.stderr
    saved = schema.load(home.schema)
    assert saved is not None
    assert (saved.features, saved.ignored, saved.missing_values) == (["zip", "n"], ["a"], ["NA"])
    assert saved.columns[0].kind == "category"
    assert json.loads(done.stdout)["schema"] == saved.model_dump()


def test_init_refuses_a_home_that_run_refuses(tmp_path: Path) -> None:
    """Before anything is made in it."""
    own = tmp_path / "own.csv"
    own.write_text("a,y\n1,x\n2,z\n")
    place = Home(tmp_path / "50%")
    done = forked("init", own, "--target", "y", home=place)
    assert (done.returncode, place.root.exists()) == (Exit.USAGE, False)
    assert "must not have '%'" in done.stderr


def test_init_names_classes_that_look_alike(home: Home, tmp_path: Path) -> None:
    """They stay what they are; a person decides whether they are the same."""
    own = tmp_path / "mail.csv"
    own.write_text("words,kind\n" + "1,Spam\n2,spam\n3,ham\n" * 5)
    done = forked("init", own, "--target", "kind", home=home)
    assert "These classes differ in case or spaces only: 'Spam', 'spam'." in done.stderr


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
    command = [sys.executable, "-m", "daemon", "serve", "--port", "0", "--home", str(home.root)]
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
