"""retraind.daemon.inbox.inbox: moving rejected drops, and keeping rejected rows."""

import os

import inboxes
import orjson
import pytest
from conftest import names
from inboxes import stamp

from retraind.daemon.core import durable
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.tabular.file_content import Content

inbox = pytest.fixture(inboxes.inbox)


def test_rejected_files_never_replace_each_other(home: Home, inbox: Inbox) -> None:
    """Each rejected drop keeps its bytes and its report, whatever else has that name."""
    for text in ("1", "2", "3"):
        (home.inbox / "a.csv").write_text(text)
        assert inbox.reject([("a.csv", stamp(home, "a.csv"), {"reason": text})]) == {}
    for name, text in (("a.csv", "1"), ("2-a.csv", "2"), ("3-a.csv", "3")):
        assert (home.rejected / name).read_text() == text
        assert orjson.loads((home.rejected / f"{name}.report.json").read_bytes()) == {"reason": text}


@pytest.mark.parametrize(
    "name", ["a" * 251 + ".csv", "\N{HERB}" * 63, os.fsdecode(b"caf\xe9.csv"), " ", "-rf", "a\nb.csv"]
)
def test_any_name_can_be_rejected(home: Home, inbox: Inbox, name: str) -> None:
    """Long names, and names that are not UTF-8, make room for the report's name."""
    (home.inbox / name).write_text("x")
    inbox.reject([(name, stamp(home, name), {"reason": "bad"})])
    [moved] = [found for found in names(home.rejected) if not found.endswith(".report.json")]
    assert (home.rejected / moved).read_text() == "x"
    assert (home.rejected / f"{moved}.report.json").exists()
    assert not (home.inbox / name).exists()


def test_rejecting_what_is_gone_leaves_the_report(home: Home, inbox: Inbox) -> None:
    """If the file is taken away at that moment, the report is written all the same."""
    assert inbox.reject([("a.csv", Stamp(1, 2, 3), {"reason": "bad"})]) == {}
    assert names(home.rejected) == ["a.csv.report.json"]


def test_file_that_took_the_name_of_a_refused_one_is_a_new_drop(home: Home, inbox: Inbox) -> None:
    """It stays in the inbox, also when it is a folder; the refused bytes under another stamp are still the refused ones."""
    bad, drop = b"nonsense", home.inbox / "a.csv"
    report = {"sha256": durable.sha256(bad)}
    drop.write_bytes(bad)
    judged = stamp(home, "a.csv")
    durable.write(drop, b"good")
    assert inbox.reject([("a.csv", judged, report)]) == {}
    assert drop.read_bytes() == b"good"
    assert names(home.rejected) == ["a.csv.report.json"]
    drop.unlink()
    drop.mkdir()
    assert inbox.reject([("a.csv", judged, report)]) == {}
    assert drop.is_dir()
    drop.rmdir()
    durable.write(drop, bad)
    assert inbox.reject([("a.csv", judged, report)]) == {}
    assert (home.rejected / "a.csv").read_bytes() == bad
    assert names(home.inbox) == ["rejected"]


def test_drop_that_can_not_be_moved_keeps_its_name(home: Home, inbox: Inbox) -> None:
    """Whatever is wrong with rejected/, the file is where it was, and can be seen."""
    (home.inbox / "a.csv").write_bytes(b"x")
    home.rejected.rmdir()
    home.rejected.write_text("a file")
    with pytest.raises(Unavailable, match="rejected is not a folder"):
        inbox.reject([("a.csv", stamp(home, "a.csv"), {"reason": "bad"})])
    assert sorted(names(home.inbox)) == ["a.csv", "rejected"]


def quarantined(inbox: Inbox, name: str, text: bytes, *lines: bytes) -> str:
    """The name of the file that keeps rejected rows of a drop with this name and text."""
    return inbox.quarantine(Drop(name, Stamp(1, len(text), 1), Content.of(text), "now"), lines)


def test_quarantine_keeps_one_copy_of_the_same_rows(home: Home, inbox: Inbox) -> None:
    """Written again after a kill it is one file; other rows of a drop with that name get a name of their own."""
    first = quarantined(inbox, "a.csv", b"1", b"head\n", b"1\n")
    assert first == f"a.csv.{durable.sha256(b'1')[:8]}.bad.csv"
    assert quarantined(inbox, "a.csv", b"1", b"head\n", b"1\n") == first
    assert quarantined(inbox, "a.csv", b"1", b"head\n", b"2\n") == f"2-{first}"
    assert (home.rejected / first).read_text() == "head\n1\n"
    assert len(names(home.rejected)) == 2
    long = quarantined(inbox, "\N{HERB}" * 60 + ".csv", b"1", b"x")
    assert (home.rejected / long).read_bytes() == b"x"
    assert long.endswith(".bad.csv")
    odd = quarantined(inbox, os.fsdecode(b"caf\xe9.csv"), b"1", b"x")
    assert odd.encode().startswith("caf\N{REPLACEMENT CHARACTER}.csv.".encode())
    assert (home.rejected / odd).read_bytes() == b"x"


def test_quarantine_reads_no_file_of_another_drop(home: Home, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many drops had that name: the time that one takes does not grow with them."""
    hashed, real = [], durable.sha256_of

    def counted(fd: int) -> str:
        hashed.append(fd)
        return real(fd)

    monkeypatch.setattr(durable, "sha256_of", counted)
    file_names = {quarantined(inbox, "a.csv", b"%d" % number, b"row %d" % number) for number in range(20)}
    assert file_names == set(names(home.rejected))
    assert len(hashed) == len(file_names) == 20
