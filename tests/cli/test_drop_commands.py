"""Commands on drops: `ingest`, `drops` and `forget`."""

import json
from contextlib import closing

from commands import forked
from journal_entries import a_batch, a_drop

from retraind.daemon.core import requests
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState
from retraind.daemon.storage.journal import Journal


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
    """Its name means the drop that brought them; a name of nothing but rejected files means none."""
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
