"""retraind.daemon.promotion.fallback: who takes a place when a version was deleted in MLflow or its bundle is damaged. Real parts."""

import sqlite3
from contextlib import closing

import pytest
from promoting import Parts
from trials import SETOSA, VERSICOLOR, Live

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import requests
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import CHAMPION, NAME, PREVIOUS


@pytest.fixture
def parts(mlflow_home: Home, journal: Journal) -> Parts:
    return Parts(mlflow_home, journal)


def delete(parts: Parts, version: int) -> None:
    """What a person does in MLflow's pages."""
    parts.registry.client.delete_model_version(NAME, str(version))


def damage(parts: Parts, version: int) -> None:
    (parts.home.bundle(version) / bundle.ONNX).write_bytes(b"rot")


def start(parts: Parts) -> None:
    """What a daemon does that starts."""
    parts.restart()
    parts.promotion.recover()
    parts.settle()


def messages(parts: Parts, kind: str) -> list[str]:
    return [event["message"] for event in Records(parts.home).events.newest(1000) if event["kind"] == kind]


# Versions that were deleted in MLflow


@pytest.mark.parametrize("kind", ["promote", "rollback"])
def test_request_for_a_version_that_was_deleted_in_mlflow_is_refused(parts: Parts, kind: requests.Kind) -> None:
    """Once and for all: a request that is tried again and again keeps everything behind it waiting."""
    versions = [parts.champion() for _ in range(3)]
    delete(parts, versions[0])
    said = f"Version {versions[0]} was deleted in MLflow, so it can't be served."
    assert parts.ask(kind, versions[0]) == ("refused", said)
    assert (parts.served, parts.state(versions[0])) == (versions[2], "promoted")


def test_held_version_that_was_deleted_in_mlflow_can_be_refused(parts: Parts) -> None:
    """The journal takes the verdict, and so it waits no more."""
    first = parts.champion()
    parts.restart(mode="manual")
    held = parts.train(96, 95, champion=first)
    parts.settle()
    delete(parts, held)
    assert parts.ask("promote")[0] == "refused"
    assert parts.ask("refuse", held) == ("done", f"Version {held} is refused.")
    assert (parts.served, parts.state(held)) == (first, "refused")


def test_champion_stays_if_the_one_before_was_deleted_in_mlflow(parts: Parts) -> None:
    """A bundle that can't be put back is reported once, and not as a rollback of the champion."""
    labels = Live(parts)
    good, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    delete(parts, good)
    labels.label(0, 60)
    parts.settle()
    labels.label(0, 60)
    parts.settle()
    assert (parts.served, parts.state(bad), parts.state(good)) == (bad, "promoted", "unservable")
    assert messages(parts, "unservable") == [
        f"Version {good} is not served: Version {good} was deleted in MLflow, so it can't be served."
    ]


def test_bad_champion_that_was_deleted_in_mlflow_gives_way(parts: Parts) -> None:
    """There is no page left to write the reason on; the journal has it."""
    labels = Live(parts)
    good, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    delete(parts, bad)
    parts.settle()
    assert parts.served == bad, "deleting the version is no word on who serves"
    labels.label(0, 60)
    parts.settle()
    assert (parts.served, parts.state(bad), parts.alias(PREVIOUS)) == (good, "rolled back", None)


def test_served_version_that_was_deleted_in_mlflow_is_followed_by_the_next(parts: Parts) -> None:
    """Nothing is left to do after the swap, though the version before can't be named in MLflow."""
    first = parts.champion()
    delete(parts, first)
    second = parts.champion()
    assert (parts.served, parts.alias(CHAMPION), parts.alias(PREVIOUS)) == (second, second, None)
    swap = parts.journal.swaps.last()
    assert swap is not None
    assert (swap["version"], swap["previous"]) == (second, first)


# Bundles that are damaged


def test_version_that_was_deleted_in_mlflow_replaces_no_damaged_one(parts: Parts) -> None:
    """The next one that is whole does."""
    first, second, third = (parts.champion() for _ in range(3))
    delete(parts, second)
    damage(parts, third)
    start(parts)
    assert (parts.served, parts.alias(CHAMPION), parts.state(third)) == (first, first, "unservable")
    assert requests.pending(parts.home) == []


def test_without_any_that_can_be_served_a_training_is_requested(parts: Parts) -> None:
    """Start after start, whatever comes between: nothing is served, and a new version is on its way."""
    first, second = parts.champion(), parts.champion()
    delete(parts, first)
    damage(parts, second)
    for _ in range(2):
        start(parts)
        assert (parts.served, parts.alias(CHAMPION)) == (None, None)
        [asked] = requests.pending(parts.home)
        assert (asked.kind, asked.force, asked.by) == ("retrain", True, "daemon")
    third = parts.train()
    parts.settle()
    assert parts.served == third


def test_served_bundle_that_is_damaged_later_is_replaced_when_a_worker_complains(parts: Parts) -> None:
    """Not for a complaint that has another reason; and once it is replaced, a complaint about it means nothing more."""
    first, second = parts.champion(), parts.champion()
    parts.settle()
    assert not parts.promotion.reconsider(["The records can't be read now."])
    damage(parts, second)
    assert not parts.promotion.reconsider(["The records can't be read now."]), "it was looked into"
    assert parts.promotion.reconsider(["The records can't be read now.", "model.onnx is not what was recorded."])
    parts.settle()
    assert (parts.served, parts.alias(CHAMPION), parts.state(second)) == (first, first, "unservable")
    assert not parts.promotion.reconsider([])
    assert not parts.promotion.reconsider(["model.onnx is not what was recorded."])
    assert [requests.pending(parts.home), len(messages(parts, "unservable"))] == [[], 1]


def test_replacing_is_tried_again_while_mlflow_is_locked(parts: Parts) -> None:
    """The workers have said it already; the journal says it once."""
    first, second = parts.champion(), parts.champion()
    damage(parts, second)
    with closing(sqlite3.connect(parts.home.mlflow)) as connection:
        connection.execute(
            "CREATE TRIGGER locked BEFORE UPDATE ON registered_model_aliases BEGIN SELECT RAISE(ABORT, 'locked'); END"
        )
        for _ in range(2):
            with pytest.raises(Unavailable):
                parts.promotion.reconsider(["model.onnx is not what was recorded."])
        assert parts.served == second
        connection.execute("DROP TRIGGER locked")
    assert parts.promotion.reconsider(["model.onnx is not what was recorded."])
    parts.settle()
    assert (parts.served, len(messages(parts, "unservable"))) == (first, 1)


def test_replacement_is_no_persons_choice(parts: Parts) -> None:
    """It is said why, the older versions stay a mark for the next ones, also if a kill comes before the pointer."""
    parts.champion(97)
    second, third = parts.champion(96), parts.champion(95)
    damage(parts, third)
    parts.restart()
    parts.promotion.recover()
    start(parts)
    swap = parts.journal.swaps.last()
    assert swap is not None
    assert (swap["version"], swap["previous"], parts.alias(PREVIOUS)) == (second, third, third)
    assert swap["reason"].startswith(f"Version {third} can no longer be served: ")
    assert "is not the file that was recorded" in swap["reason"]
    fourth = parts.train(94, 96, champion=second)
    parts.settle()
    assert (parts.served, parts.state(fourth)) == (second, "refused")
    assert "of version 1, the best so far" in parts.described(fourth)


def test_repaired_version_is_served_again_by_hand(parts: Parts) -> None:
    """A person has put its files back and says so with the alias."""
    only = parts.champion()
    model = parts.home.bundle(only) / bundle.ONNX
    whole = model.read_bytes()
    damage(parts, only)
    start(parts)
    model.write_bytes(whole)
    parts.models.set_alias(CHAMPION, only)
    parts.settle()
    assert (parts.served, parts.state(only)) == (only, "promoted")
    assert "The alias champion was moved by hand. Before, it was unservable" in parts.described(only)


@pytest.mark.parametrize("content", [b"", None], ids=["unreadable", "gone"])
def test_lost_pointer_is_written_again(parts: Parts, content: bytes | None) -> None:
    """The same version keeps serving: there is no swap and no manual choice, and the previous version is still known."""
    first, second = parts.champion(97), parts.champion(96)
    before = parts.journal.swaps.last()
    parts.home.pointer.unlink()
    if content is not None:
        parts.home.pointer.write_bytes(content)
    start(parts)
    assert (parts.served, parts.journal.swaps.last(), parts.alias(PREVIOUS)) == (second, before, first)
    assert messages(parts, "serving")[0] == (
        f"The pointer to version {second} was rewritten: The pointer was missing or unreadable."
    )
    third = parts.train(94, 96, champion=second)
    parts.settle()
    assert "of version 1, the best so far" in parts.described(third)
