"""retraind.daemon.inbox.bucket: a bucket as inbox, on a real S3 server: each object counts exactly once."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

import bucket_inboxes
import pytest
import stores
from bucket_inboxes import BucketParts, text
from conftest import names
from ingesting import Killed
from service import wait_until
from stores import Bucket

from retraind.daemon.core.home import Home
from retraind.daemon.inbox.bucket import examination
from retraind.daemon.objects.bucket_objects import Version
from retraind.daemon.objects.ownership import NotOwner
from retraind.daemon.objects.store import StoreUnavailable
from retraind.daemon.records import lineage
from retraind.daemon.records.drops import decided
from retraind.daemon.records.query import ask
from retraind.daemon.schema.schema import Schema
from retraind.daemon.service import claiming

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)
parts = pytest.fixture(bucket_inboxes.parts)


def events(parts: BucketParts, kind: str) -> list[str]:
    return [row["message"] for row in ask(parts.home.journal, "SELECT message FROM events WHERE kind = ?", kind)]


def test_objects_are_taken_beside_files_and_deleted(parts: BucketParts) -> None:
    """In folders below the prefix as well; the journal names URL and version of each; the folder goes on as before."""
    parts.put("a.csv", text(1.0))
    parts.put("2026/11/b.csv", text(2.0))
    parts.drop("file.csv", text(3.0))
    parts.take()
    assert parts.lengths == [1.0, 2.0, 3.0]
    assert (parts.keys, parts.leaving, names(parts.home.inbox / ".objects")) == ([], [], [])
    by_name = {row["name"]: row["origin"] for row in decided.newest(parts.home.journal, 9)}
    assert by_name["file.csv"] is None
    assert str(by_name[f"{parts.url}/2026/11/b.csv"]).startswith(f"{parts.url}/2026/11/b.csv?etag=")
    newest = lineage.training_drops(parts.home.journal, lineage.DROPS, 9, 99, 9)
    assert {one["origin"] for one in newest} == {*by_name.values()}


def test_names_that_are_no_drops_stay(parts: BucketParts) -> None:
    """What a folder ignores, marks of folders, what Spark hides, and our own folders; everything else is a drop."""
    ignored = ["x.csv.tmp", ".hidden", "_SUCCESS", "_temporary/0/x.csv", ".spark/x.csv", "README.md", "folder/"]
    ignored += ["b_$folder$", "rejected/x.csv", "predict/x.csv", "y.part"]
    for name in ignored:
        parts.put(name, text(1.0))
    parts.put("part-00000", text(2.0))
    parts.put("deep/rejected/x.csv", text(3.0))
    parts.take()
    assert parts.lengths == [2.0, 3.0]
    assert sorted(parts.keys) == sorted(ignored)


def test_rejected_objects_lie_in_the_home_with_their_reports(parts: BucketParts) -> None:
    """Whole ones, single rows of others and empty ones, under the names of files; names that repeat get numbers."""
    parts.put("a/bad.csv", "nonsense\n1\n")
    parts.put("b/bad.csv", "other nonsense\n1\n")
    parts.put("half.csv", text(1.0) + "wrong\n")
    parts.put("empty.csv", "")
    parts.take()
    assert (parts.lengths, parts.keys, parts.leaving) == ([1.0], [], [])
    there = sorted(names(parts.home.rejected))
    assert [name for name in there if name.startswith(("bad", "2-bad", "empty"))] == sorted(
        ["2-bad.csv", "2-bad.csv.report.json", "bad.csv", "bad.csv.report.json", "empty.csv", "empty.csv.report.json"]
    )
    assert [name for name in there if name.startswith("half.csv.")]
    assert b'"origin": "s3://' in (parts.home.rejected / "bad.csv.report.json").read_bytes()


@pytest.mark.parametrize("kept", ["versions", "suspended", "none"])
def test_object_that_is_overwritten_while_it_is_read_counts_twice(parts: BucketParts, kept: str) -> None:
    """Both contents, once each: the deletion spares the newer one, by its version or, without a lasting one, by its ETag."""
    if kept != "none":
        parts.bucket.keep_versions()
    if kept == "suspended":
        parts.bucket.suspend_versions()
    parts.put("a.csv", text(1.0))
    parts.round()
    parts.put("a.csv", text(2.0))
    parts.take()
    parts.take()
    assert (parts.lengths, parts.keys, parts.leaving) == ([1.0, 2.0], [], [])
    if kept == "versions":  # while they are suspended, a deletion leaves a mark on Ceph
        assert [key for key in parts.bucket.versions() if "/.retraind/" not in key] == []


def test_version_that_was_replaced_before_it_was_read_comes_after_the_newer_one(parts: BucketParts) -> None:
    """A bucket with versions keeps it, and shows it again once the newer one is deleted."""
    parts.bucket.keep_versions()
    parts.put("a.csv", text(1.0))
    parts.put("a.csv", text(2.0))
    assert parts.objects.earlier_versions() == 1
    parts.take()
    parts.take()
    assert (parts.lengths, parts.keys) == ([1.0, 2.0], [])


def test_object_that_is_gone_before_it_is_read_is_nothing(parts: BucketParts, monkeypatch: pytest.MonkeyPatch) -> None:
    """As is one that the same bytes are put under twice: they count once."""
    parts.put("gone.csv", text(1.0))
    fresh = parts.courier._fresh

    def remove(*arguments: object) -> object:
        parts.client.delete_object(Bucket=parts.bucket.name, Key="drops/gone.csv")
        return fresh(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(parts.courier, "_fresh", remove)
    parts.take()
    monkeypatch.undo()
    parts.put("twin.csv", text(2.0))
    parts.put("copy.csv", text(2.0))
    parts.take()
    parts.take()
    assert (parts.lengths, parts.keys, parts.courier.objection) == ([2.0], [], None)
    assert sorted(state for _, state in parts.drops()) == ["accepted", "duplicate"]


def test_listing_of_what_is_being_taken_fetches_nothing_again(parts: BucketParts) -> None:
    """Rounds before, between and after the steps of a batch."""
    for number in range(5):
        parts.put(f"{number}.csv", text(number))
    parts.round()
    while parts.ingestion.step(parts.now):
        parts.round()
    parts.take()
    assert (parts.lengths, len(parts.drops()), parts.keys) == ([0.0, 1.0, 2.0, 3.0, 4.0], 5, [])


def test_object_that_leaves_at_the_moment_of_a_look_is_not_fetched_again(
    parts: BucketParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is rejected once, although its deletion takes its time beside the fetches of the round."""
    parts.put("bad.csv", "nonsense\n1\n")
    parts.round()
    leaving, remove = parts.courier._shelf.leaving, parts.objects.remove

    def look() -> list[str]:
        origins = leaving()
        parts.run()
        return origins

    def remove_slowly(versions: Sequence[Version]) -> dict[Version, str]:
        time.sleep(0.2)
        return remove(versions)

    monkeypatch.setattr(parts.courier._shelf, "leaving", look)
    monkeypatch.setattr(parts.objects, "remove", remove_slowly)
    parts.put("other.csv", text(1.0))
    for _ in range(3):
        parts.round()
    assert sorted(state for _, state in parts.drops()) == ["accepted", "rejected"]
    assert (parts.keys, parts.lengths) == ([], [1.0])


Point = Callable[[BucketParts], tuple[object, str]]
POINTS: dict[str, Point] = {
    "before the batch is recorded": lambda parts: (parts.journal.batches, "accept"),
    "before the revision": lambda parts: (parts.dataset, "commit"),
    "before the objects are noted": lambda parts: (parts.ingestion._clearing, "clear"),
    "before the deletion": lambda parts: (parts.objects, "remove"),
    "before the deletion is recorded": lambda parts: (parts.courier._shelf, "note_gone"),
    "before a rejected object is moved": lambda parts: (parts.ingestion._clearing, "take_out"),
    "after a rejected object was moved": lambda parts: (parts.inbox, "_finish"),
}


@pytest.mark.parametrize("versioned", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_kill_at_any_step_takes_each_object_once(
    parts: BucketParts, monkeypatch: pytest.MonkeyPatch, *, versioned: bool
) -> None:
    """No row is lost or doubled, no drop is recorded twice, and nothing stays in the bucket."""
    if versioned:
        parts.bucket.keep_versions()
    for number, find in enumerate(POINTS.values(), 1):
        parts.put(f"{number}.csv", text(number))
        parts.put("half.csv", text(number / 10) + "wrong\n")
        parts.put("bad.csv", f"nonsense\n{number}\n")
        with monkeypatch.context() as patch:
            patch.setattr(*find(parts), kill)
            with pytest.raises(Killed):
                parts.take()
        parts.reopen()
        parts.take()
        if parts.keys or parts.leaving:
            parts.take()
        assert (parts.keys, parts.leaving, len(parts.lengths)) == ([], [], 2 * number), number
        assert Counter(state for _, state in parts.drops()) == {"accepted": 2 * number, "rejected": number}
    assert len([name for name in names(parts.home.rejected) if name.endswith("bad.csv")]) == 2 * len(POINTS)


def kill(*_: object, **__: object) -> None:
    raise Killed


def test_outage_is_said_and_loses_nothing(parts: BucketParts, bucket: Bucket) -> None:
    """Files go on; objects wait; what was taken is deleted when the store is back. Events say when it began and ended."""
    parts.put("a.csv", text(1.0))
    parts.round()
    parts.courier.start()
    with bucket.cut():
        wait_until(lambda: parts.courier.objection is not None, 20, "the problem")
        parts.drop("file.csv", text(2.0))
        parts.run()
        assert parts.lengths == [1.0, 2.0]
        objection, _ = parts.inbox.remote() or (None, "")
        assert "did not answer: list" in str(objection)
    wait_until(lambda: parts.courier.objection is None and not parts.keys, 20, "the end of it")
    parts.run()
    parts.courier.close()
    assert (parts.leaving, len(events(parts, "problem")), len(events(parts, "healed"))) == ([], 1, 1)


def test_too_large_object_stays_in_the_bucket(home: Home, schema: Schema, bucket: Bucket) -> None:
    """It is not fetched, because it is its only copy; its report says why; others are taken; a restart says nothing new."""
    assert schema
    parts = BucketParts(home, bucket, max_bytes=1000)
    parts.put("large.csv", text(*range(100)))
    parts.put("a.csv", text(1.0))
    parts.take()
    parts.reopen()
    parts.take()
    assert (parts.lengths, parts.keys) == ([1.0], ["large.csv"])
    [large] = [row for row in decided.newest(home.journal, 9) if row["state"] == "rejected"]
    assert "inbox.max_bytes = 1000" in str(large["reason"])
    assert names(home.rejected) == ["large.csv.report.json"]
    parts.close()


def test_another_home_does_not_take_from_the_same_prefix(
    parts: BucketParts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each would take some of the objects."""
    parts.take()
    other = Home(tmp_path_factory.mktemp("other") / "home")
    other.root.mkdir()
    other.make()
    stranger = BucketParts(other, parts.bucket)
    with pytest.raises(NotOwner, match="belongs to the home"):
        stranger.round()
    parts.put("a.csv", text(1.0))
    [sentence] = claiming.claim(other, stranger.settings)
    assert "is now that of this home. It was that of" in sentence
    stranger.round()
    with pytest.raises(NotOwner):
        parts.round()
    stranger.close()


@pytest.mark.parametrize("versioned", [True, False])
def test_doctor_says_whether_keys_must_be_unique(parts: BucketParts, *, versioned: bool) -> None:
    """It tries it; nothing of the trial stays; and it names the versions that will come back."""
    if versioned:
        parts.bucket.keep_versions()
        parts.put("a.csv", text(1.0))
        parts.put("a.csv", text(2.0))
    sentence = examination.describe(parts.home, parts.settings)
    assert ("give each object a new key" in sentence) is not versioned
    assert ("1 replaced version will be taken" in sentence) is versioned
    assert [key for key in parts.bucket.versions() if "probe" in key] == []
    with parts.bucket.cut(), pytest.raises(StoreUnavailable):
        examination.describe(parts.home, parts.settings)


def test_names_of_any_characters_are_read_quickly(parts: BucketParts) -> None:
    """The signature is over the encoded name; without it a server would refuse, and the slower way be taken."""
    names = ["plain.csv", "a b+c%20/ä~_-.csv", "x=1&y='(2)'!*,;:@$[]#?.csv"]
    for number, name in enumerate(names):
        parts.put(name, text(number))
        assert parts.objects._gets is not None
        with parts.objects._gets.get(name) as answer:
            assert answer is not None, name
            assert answer.read() == text(number).encode()
    parts.take()
    assert (parts.lengths, parts.keys) == ([0.0, 1.0, 2.0], [])
