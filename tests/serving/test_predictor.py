"""retraind.web.serving.predictor with real bundles."""

import time
from pathlib import Path

import bundles
import numpy as np
import pytest

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import durable
from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.core.home import Home
from retraind.web.serving import predictor
from retraind.web.serving.predictor import Follower, Predictor, Slot


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    return home


def served(home: Home, slot: Slot) -> int | None:
    Follower(home, slot).look()
    return slot.version


def test_nothing_promoted_yet_is_no_problem(home: Home) -> None:
    slot = Slot()
    assert served(home, slot) is None
    assert slot.problem is None


def test_the_pointer_is_followed(home: Home) -> None:
    slot = Slot()
    follower = Follower(home, slot)
    for version in (1, 2):
        bundles.point(home, bundles.make(home, version))
        follower.look()
        assert slot.version == version
    assert slot.swaps == 2


def test_an_unchanged_pointer_is_not_loaded_again(home: Home) -> None:
    slot = Slot()
    follower = Follower(home, slot)
    pointer = bundles.make(home, 1)
    for _ in range(3):
        bundles.point(home, pointer)
        follower.look()
    assert slot.swaps == 1


@pytest.mark.parametrize("damage", ["model", "manifest", "missing", "pointer", "probe"])
def test_a_bundle_that_fails_leaves_the_old_one_in_place(home: Home, damage: str) -> None:
    slot = Slot()
    follower = Follower(home, slot)
    bundles.point(home, bundles.make(home, 1))
    follower.look()
    pointer = bundles.make(home, 2)
    bundles.point(home, pointer)
    match damage:
        case "model":
            (home.bundle(2) / bundle.ONNX).write_bytes(b"not a model")
        case "manifest":
            (home.bundle(2) / bundle.MANIFEST).write_bytes(b"{}")
        case "missing":
            bundles.point(home, pointer.model_copy(update={"version": 3}))
        case "pointer":
            durable.write(home.pointer, b"{")
        case "probe":
            (home.bundle(2) / bundle.PROBE).write_bytes(b"[]")
    follower.look()
    assert slot.version == 1
    assert slot.problem
    assert slot.failures == 1
    follower.look()
    assert slot.failures == 1, "not tried again at once"


@pytest.mark.parametrize("journal", ["none", "other version", "other bundle", "damaged"])
def test_a_bundle_that_the_journal_does_not_know_is_not_loaded(home: Home, journal: str) -> None:
    slot = Slot()
    pointer = bundles.make(home, 2)
    durable.write(home.pointer, pointer.model_dump_json().encode())
    match journal:
        case "other version":
            bundles.record(home, pointer.model_copy(update={"version": 1}))
        case "other bundle":
            bundles.record(home, pointer.model_copy(update={"manifest": "0" * 64}))
        case "damaged":
            home.journal.write_bytes(b"not a database" * 100)
    assert served(home, slot) is None
    assert slot.problem
    assert (slot.swaps, slot.failures) == (0, 1)
    home.journal.unlink(missing_ok=True)
    bundles.record(home, pointer)
    assert served(home, slot) == 2
    assert slot.problem is None


def test_a_failed_bundle_is_tried_again_later(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "RETRY_SECONDS", 0.1)
    slot = Slot()
    follower = Follower(home, slot)
    bundles.point(home, bundles.make(home, 1))
    model = home.bundle(1) / bundle.ONNX
    whole = model.read_bytes()
    model.write_bytes(b"")
    follower.look()
    assert slot.problem
    model.write_bytes(whole)
    time.sleep(0.15)
    follower.look()
    assert slot.version == 1
    assert slot.failures == 1


def test_the_thread_outlives_a_failure_swaps_and_ends(home: Home) -> None:
    slot = Slot()
    follower = Follower(home, slot)
    follower.start()
    home.pointer.mkdir()
    deadline = time.monotonic() + 20
    while slot.problem is None and time.monotonic() < deadline:
        time.sleep(0.01)
    home.pointer.rmdir()
    bundles.point(home, bundles.make(home, 7))
    deadline = time.monotonic() + 20
    while slot.version != 7 and time.monotonic() < deadline:
        time.sleep(0.01)
    follower.stop()
    follower.join(5)
    assert slot.version == 7
    assert not follower.is_alive()


def test_values_that_overflow_the_model_are_refused(home: Home) -> None:
    pointer = bundles.make(home, 1)
    loaded = Predictor(1, bundle.load(home.bundle(1), pointer.manifest))
    with pytest.raises(InvalidFeatures):
        loaded.answers(np.array([[1e308, 1e308, -1e308, 1e308]]))
