"""`retraind forget --find` and `--purge`: where bytes of a drop's rows still are, and that they go. Real git, DVC, SQLite."""

import gzip
import json
import struct
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import bundles
import forgetting
import orjson
import pyarrow.parquet as pq
import pytest
from commands import forked
from conftest import names
from forgetting import answer, in_cache, take, text
from ingesting import HEADER, Killed, Parts, prepare
from journal_entries import change
from person_rows import PERSON, ROW, SECRET, listed

from retraind.daemon.core import durable, requests, shared_folder
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRow
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import DropState
from retraind.daemon.dataset import segments
from retraind.daemon.ingest.erasure import held_files, traces
from retraind.daemon.ingest.erasure.eraser import Eraser
from retraind.daemon.ingest.erasure.row_matching import RowMatcher
from retraind.daemon.records.query import ask
from retraind.daemon.storage.entries.events import BLANKED
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier

pytestmark = pytest.mark.engines(full=True)

parts = pytest.fixture(forgetting.parts)

NO_DROP: Any = {"name": "held.csv", "source": "file", "bytes": 1, "settled_at": "2026-01-01"}


def files_with_the_secret(home: Home) -> set[str]:
    """Every file below the home whose raw bytes hold the cell, as text or as a number, packed or not."""
    holding = set()
    for path in home.root.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        packed = data[:4] == b"PAR1" and SECRET in pq.read_table(path).column("sepal_length").to_pylist()
        if packed or repr(SECRET).encode() in data or struct.pack("<d", SECRET) in data:
            holding.add(str(path.relative_to(home.root)))
    return holding


def hold(parts: Parts | SimpleNamespace, name: str, content: str) -> str:
    """A file that waits for a person, and its event, which quotes a label; its sha256."""
    data = content.encode()
    (parts.home.inbox / name).write_bytes(data)
    facts: Any = {"sha256": durable.sha256(data), "name": name, "bytes": len(data), "rows_read": 2, "rows_known": 0}
    parts.journal.held.hold(facts | {"version": 1, "reason": "100% of its labels are 'setosa'", "seen_at": None})
    return durable.sha256(data)


def scatter(parts: Parts) -> None:
    """Take a drop whose rows lie in the dataset, the cache, rejected files, one that waits and a segment set aside."""
    wrong = PERSON.replace("1.5,", "one and a half,").replace("5.5,", "five,")
    parts.drop("person-wrong.csv", wrong)
    parts.drop("packed.csv.gz", gzip.compress(wrong.encode(), mtime=0))
    parts.drop("others.csv", HEADER.replace("species", "nothing") + f"{SECRET},3.25,1.5,0.25,x\n" + "9,9,9,9,x\n")
    parts.run()
    first, *others = PERSON.splitlines(keepends=True)
    hold(parts, "held.csv", "".join([first, *reversed(others)]))
    parts.drop("person.csv", PERSON)
    parts.drop("else.csv", text(7))
    parts.run()
    [live] = parts.journal.segments.current()
    parts.home.orphans.mkdir(exist_ok=True)
    (parts.home.orphans / "left.parquet").write_bytes((parts.home.segments / live["name"]).read_bytes())


SCATTERED = durable.sha256(PERSON.encode())
"""The drop that `scatter` has taken."""


@pytest.fixture
def scattered(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion that has taken a drop whose rows lie in many places."""
    prepare(home, scatter, tmp_path_factory)
    parts = Parts(home)
    yield parts
    parts.close()


def test_purge_takes_the_rows_out_of_everything_that_find_lists(scattered: Parts) -> None:
    """Before, every file with the bytes is listed; afterwards there is none, and the other rows of those files stay."""
    parts, sha256 = scattered, SCATTERED
    before = files_with_the_secret(parts.home)
    assert {"inbox/rejected/person-wrong.csv", "inbox/rejected/packed.csv.gz", "inbox/rejected/others.csv"} <= before
    assert before - listed(parts, sha256) == set()
    assert "inbox/held.csv" in listed(parts, sha256)
    request = requests.submit(parts.home, "forget", drop=sha256, purge=True)
    parts.run()
    assert answer(parts, request)[0] == "done"
    assert "No version was trained on them" in answer(parts, request)[1]
    assert files_with_the_secret(parts.home) == set()
    assert (parts.home.rejected / "others.csv").read_text().splitlines()[1:] == ["9,9,9,9,x"]
    assert "person-wrong.csv" not in names(parts.home.rejected)
    assert (parts.waiting, parts.journal.held.all()) == ([], [])
    query = "SELECT DISTINCT message FROM events WHERE kind = 'suspicious'"
    assert [row["message"] for row in ask(parts.home.journal, query)] == [BLANKED], (
        "the event stays, without its quotes"
    )
    assert listed(parts, sha256) == {traces._journal(parts.home), "backups, copies and swap space"}
    assert parts.lengths == [7]
    assert [segments.load(path)["sepal_length"].to_pylist() for path in parts.home.orphans.iterdir()] == [[7]]


def test_rows_of_others_in_a_held_file_stay(home: Home) -> None:
    """Also in a copy of it under another name; what is left is another drop, and nothing is quoted of the old one."""
    with closing(Journal.open(home.journal)) as journal:
        parts = SimpleNamespace(home=home, journal=journal)
        sha256 = hold(parts, "held.csv", PERSON + "9,9,9,9,setosa\n")
        (home.inbox / "copy.csv").write_text(PERSON + "9,9,9,9,setosa\n")
        (home.inbox / "other.csv").write_text(PERSON)
        journal.drops.refuse(
            NO_DROP | {"sha256": sha256}, DropState.REJECTED, "copy.csv: It was held because of 'setosa'."
        )
        place = shared_folder.inbox(home)
        drop: Any = {"decided_at": "2026-01-01"}
        matcher = RowMatcher(bundles.SCHEMA, [ROW])
        matches = [one for one in held_files.search(place, journal.held.all(), matcher, drop) if one]
        assert [(one.name, one.split and one.split.matched) for one in matches] == [("copy.csv", 1), ("held.csv", 1)]
        (home.inbox / "copy.csv").write_text("another by now")
        for match in matches:
            held_files.take_out(place, match)
        assert "9,9,9,9" in (home.inbox / "held.csv").read_text()
        assert repr(SECRET) not in (home.inbox / "held.csv").read_text()
        assert (home.inbox / "copy.csv").read_text() == "another by now"
        journal.erasures.blank_refused(sha256)
        texts = {row["message"] for row in ask(home.journal, "SELECT message FROM events")}
        assert texts == {BLANKED}


@pytest.mark.parametrize("step", ["_refused", "_held", "_orphans", "_predictions"])
@pytest.mark.parametrize("after", [False, True])
def test_end_at_any_step_leaves_the_rest_to_the_next(
    scattered: Parts, step: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The rows are known until all else is gone, so whoever is killed in between finds the rest again."""
    parts = scattered
    requests.submit(parts.home, "forget", drop=SCATTERED, purge=True)
    real = getattr(Eraser, step)

    def cut(eraser: Eraser, drop: DropRow) -> str:
        if after:
            real(eraser, drop)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Eraser, step, cut)
        with pytest.raises(Killed):
            parts.run()
    parts.reopen()
    parts.run()
    assert files_with_the_secret(parts.home) == set()
    assert in_cache(parts.home) == {7}


def test_predictions_that_the_drop_labelled_go_by_their_ids(parts: Parts) -> None:
    """From the database, its WAL and the log file that a worker may still write to, which loses no other line."""
    take(parts, a=[1], b=[2])
    sha256 = durable.sha256(text(2).encode())
    about = {"timestamp": "2026-01-01T00:00:00.000Z", "model_version": 1, "latency_ms": 0.5, "confidence": 0.9}
    lines = [
        orjson.dumps({**about, "prediction_id": prediction, "features": [length, 3.5, 1.4, 0.2], "prediction": 0, "prediction_name": "setosa"})
        for prediction, length in (("p1", SECRET), ("p2", 6.0))
    ]  # fmt: skip
    path = parts.home.logs / "predictions-0-20260101T000000000000-1.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    (parts.home.workers / "0-1.lock").touch()
    lock = durable.try_lock(parts.home.workers / "0-1.lock")
    assert lock is not None
    change(
        parts.journal,
        'INSERT INTO labels (prediction_id, version, prediction, truth, "drop", batch, at) '
        "VALUES ('p1', 1, 'setosa', 'virginica', :drop, 1, '')",
        drop=sha256,
    )
    with closing(HistoryCopier(parts.home, Settings())) as history_copier:
        assert history_copier.copy() == 2
    assert {"logs/predictions.db", f"logs/{path.name}"} <= listed(parts, sha256)
    requests.submit(parts.home, "forget", drop=sha256)
    parts.run()
    assert "logs/predictions.db" in listed(parts, sha256), "known after forgetting, too"
    requests.submit(parts.home, "forget", drop=sha256, purge=True)
    parts.run()
    assert files_with_the_secret(parts.home) == set()
    with path.open("ab") as file:
        file.write(lines[1].replace(b"p2", b"p3") + b"\n")
    with closing(HistoryCopier(parts.home, Settings())) as history_copier:
        assert history_copier.copy() == 1
        assert history_copier.skipped == 0


def test_command_lists_as_text_and_as_json(parts: Parts) -> None:
    """A name is enough, nothing is changed, and machines get the same."""
    take(parts, a=[1])
    parts.close()
    shown = forked("forget", "a.csv", "--find", home=parts.home)
    assert shown.returncode == 0, shown.stderr
    assert "data/dataset/" in shown.stdout
    assert "not known to this home" in shown.stdout
    printed = json.loads(forked("forget", "a.csv", "--find", "--json", home=parts.home).stdout)
    parts.open()
    assert (printed["name"], printed["state"]) == ("a.csv", "accepted")
    assert {trace["goes"] for trace in printed["traces"]} >= {"retraind forget", "retraind forget --purge", "stays"}
    assert requests.pending(parts.home) == []
    assert parts.lengths == [1]


def test_request_that_fails_keeps_no_drop_waiting(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and carried out once it can be."""
    parts.drop("person.csv", PERSON)
    parts.run()
    request = requests.submit(parts.home, "forget", drop=durable.sha256(PERSON.encode()), purge=True)
    with monkeypatch.context() as patch:
        patch.setattr(Eraser, "run", _broken)
        parts.drop("else.csv", text(7))
        parts.run()
        assert "no space" in str(parts.ingestion.forgetting.problem)
        assert parts.lengths == [7]
    parts.now += 100
    parts.run()
    answer = parts.journal.requests.get(request.id)
    assert answer is not None
    assert answer["state"] == "done"
    assert parts.ingestion.forgetting.problem is None


def _broken(*_: object) -> object:
    raise OSError("no space")


def test_drop_of_a_segment_that_is_lost_is_refused_with_a_sentence(parts: Parts) -> None:
    """Nothing waits for what does not come back."""
    parts.drop("person.csv", PERSON)
    parts.run()
    [live] = parts.journal.segments.current()
    (parts.home.segments / live["name"]).unlink()
    request = requests.submit(parts.home, "forget", drop=durable.sha256(PERSON.encode()), purge=True)
    parts.run()
    answer = parts.journal.requests.get(request.id)
    assert answer is not None
    assert (answer["state"], "gone or damaged" in answer["detail"]) == ("refused", True)


def test_damaged_orphan_of_the_drop_goes(parts: Parts) -> None:
    """Its pages may be readable though its end is not; its name says whose rows it held."""
    parts.drop("person.csv", PERSON)
    parts.run()
    [live] = parts.journal.segments.current()
    parts.home.orphans.mkdir()
    orphan = parts.home.orphans / f"{live['name']}.damaged"
    orphan.write_bytes((parts.home.segments / live["name"]).read_bytes()[:-3])
    sha256 = durable.sha256(PERSON.encode())
    requests.submit(parts.home, "forget", drop=sha256)
    parts.run()
    assert f"data/orphans/{orphan.name}" in listed(parts, sha256)
    requests.submit(parts.home, "forget", drop=sha256, purge=True)
    parts.run()
    assert not orphan.exists()
