"""retraind.daemon.promotion.promotion and judging: verdicts, requests and the pointer, with real bundles, MLflow and journal."""

import shutil
import sqlite3
from contextlib import closing

import bundles
import promoting
import pytest
from promoting import Parts
from scoring import scores
from sqlalchemy.exc import IntegrityError
from test_lineage import forget, revision, take

from retraind.daemon.artifacts import bundle
from retraind.daemon.cli import doctor
from retraind.daemon.core import requests
from retraind.daemon.core.states import Trigger
from retraind.daemon.records.records import Records
from retraind.daemon.storage.model_versions import CHAMPION, NAME, PREVIOUS

parts = pytest.fixture(promoting.parts)


def test_first_version_is_judged_and_served(parts: Parts) -> None:
    """From staging to the pointer: named, judged, aliased, pointed to, recorded."""
    version = parts.train()
    parts.settle()
    assert (parts.served, parts.alias(CHAMPION), parts.alias(PREVIOUS)) == (version, version, None)
    pointer = bundle.read_pointer(parts.home.pointer)
    assert pointer is not None
    assert bundle.load(parts.home.bundle(version), pointer.manifest).manifest.scores["challenger"]
    swap = parts.journal.swaps.last()
    assert swap is not None
    assert (swap["version"], swap["previous"]) == (version, None)
    assert "First version" in swap["reason"]
    assert "First version" in parts.described(version)


def test_better_version_replaces_the_champion(parts: Parts) -> None:
    """The one before becomes `previous`."""
    first = parts.champion()
    second = parts.train(96, 95, champion=first)
    parts.settle()
    assert (parts.served, parts.alias(CHAMPION), parts.alias(PREVIOUS)) == (second, second, first)


def test_worse_version_is_refused_and_kept(parts: Parts) -> None:
    """The champion stays; the reason stands in journal and MLflow, the bundle on the disk."""
    first = parts.champion()
    second = parts.train(50, 95, champion=first)
    parts.settle()
    assert (parts.served, parts.alias(CHAMPION), parts.state(second)) == (first, first, "refused")
    assert "falls from 0.9500 to 0.5000" in parts.described(second)
    assert parts.home.bundle(second).is_dir()


def test_refused_version_without_forgotten_rows_can_be_had_all_the_same(parts: Parts) -> None:
    """Who had to forget must know that the served version was trained on these rows, and how to be rid of it."""
    take(parts.journal, 1)
    take(parts.journal, 2)
    first = parts.train(95, revision=revision(2))
    parts.settle()
    forget(parts.journal, 2)
    second = parts.train(50, 95, champion=first, revision=revision(3), reason="requested, forced")
    parts.settle()
    assert parts.served == first
    said = f"Version {first} was trained on rows forgotten since (2.csv); `retraind promote {second}` serves this one."
    assert parts.described(second).endswith(said)


def test_drop_that_was_forgotten_before_any_training_is_held_against_no_version(parts: Parts) -> None:
    """Nothing is said of a version whose revision never held the rows, nor where the new version was given them too."""
    take(parts.journal, 1)
    first = parts.train(95, revision=revision(1))
    parts.settle()
    take(parts.journal, 2)
    forget(parts.journal, 2)
    refused = [parts.train(50, 95, champion=first, revision=revision(3), reason=Trigger.FORGOTTEN)]
    parts.settle()
    refused.append(parts.train(50, 95, champion=first, revision=revision(1), reason=Trigger.FORGOTTEN))
    forget(parts.journal, 1)
    parts.settle()
    for version in refused:
        assert parts.state(version) == "refused"
        assert "forgotten" not in parts.described(version)


def test_comparison_with_another_version_does_not_count(parts: Parts) -> None:
    """A version that was compared with a version that no longer serves is refused: it is unknown which is better."""
    first = parts.champion()
    second = parts.train(99, 50, champion=first)
    third = parts.train(99, 50, champion=first)
    parts.settle()
    assert (parts.served, parts.state(third)) == (second, "refused")
    version_row = parts.journal.versions.get(third)
    assert version_row is not None
    assert f"compared with version {first}, but version {second} is served" in version_row["reason"]
    [asked] = requests.pending(parts.home)
    assert (asked.kind, asked.force, asked.by) == ("retrain", True, "daemon"), "or these rows would never be compared"


def test_damaged_bundle_is_refused(parts: Parts) -> None:
    """A model file that changed between training and judging is never served."""
    version = parts.train()
    [staged] = parts.home.bundles.glob(".staging-*")
    (staged / bundle.ONNX).write_bytes(b"x")
    parts.settle()
    assert (parts.served, parts.alias(CHAMPION), parts.state(version)) == (None, None, "refused")


def test_damaged_twin_is_found_before_the_version_serves(parts: Parts) -> None:
    """No later challenger could be compared with it; `retraind doctor` looks at it as well."""
    run = parts.registry.start_run("training", {})
    bundles.make(parts.home, 999, scores=scores(95, None) | {"champion_version": None})
    version = parts.register(run, bundles.add_twin(parts.home, 999))
    staged = parts.home.staging(run)
    parts.home.bundle(999).rename(staged)
    whole = (staged / f"{bundle.TWIN}{bundle.ONNX}").read_bytes()
    (staged / f"{bundle.TWIN}{bundle.ONNX}").write_bytes(b"x")
    parts.settle()
    assert (parts.served, parts.state(version)) == (None, "refused")
    assert f"{bundle.TWIN}{bundle.ONNX} is not the file" in parts.described(version)
    (parts.home.bundle(version) / f"{bundle.TWIN}{bundle.ONNX}").write_bytes(whole)
    assert parts.ask("promote", version)[0] == "done"
    assert not [one for one in doctor.examine(parts.home) if one["what"] == "bundle" and not one["ok"]]
    (parts.home.bundle(version) / f"{bundle.TWIN}{bundle.ONNX}").unlink()
    [findings] = [one for one in doctor.examine(parts.home) if one["what"] == "bundle"]
    assert (findings["ok"], bundle.TWIN in findings["detail"]) == (False, True)


def test_version_without_its_bundle_is_refused(parts: Parts) -> None:
    """A bundle folder that is gone stops nothing."""
    version = parts.train()
    [staged] = parts.home.bundles.glob(".staging-*")
    shutil.rmtree(staged)
    parts.settle()
    assert parts.state(version) == "refused"
    assert parts.champion() == version + 1


def test_version_that_another_program_registered_is_not_judged(parts: Parts) -> None:
    """A model from elsewhere has no bundle: it gets no verdict, and pointing the alias at it serves nothing."""
    first = parts.champion()
    run = parts.registry.start_run("elsewhere", {})
    foreign = int(parts.registry.client.create_model_version(NAME, "file:///nowhere", run).version)
    parts.settle()
    assert parts.state(foreign) is None
    parts.models.set_alias(CHAMPION, foreign)
    parts.settle()
    assert parts.served == first
    assert not parts.promotion.adopt(), "it is told once"


def test_alias_moved_by_hand_moves_the_service(parts: Parts) -> None:
    """Who moves `champion` in MLflow's pages changes what is served, after the bundle was verified."""
    first = parts.champion()
    second = parts.champion()
    parts.registry.client.set_registered_model_alias(NAME, CHAMPION, str(first))
    parts.settle()
    assert (parts.served, parts.alias(PREVIOUS)) == (first, second)
    (parts.home.bundle(second) / bundle.ONNX).write_bytes(b"x")
    parts.registry.client.set_registered_model_alias(NAME, CHAMPION, str(second))
    parts.settle()
    assert (parts.served, parts.state(second)) == (first, "unservable")


def test_refused_version_that_is_served_by_hand_counts_as_promoted(parts: Parts) -> None:
    """It is the mark for those that follow, it may be returned to, and why it was refused stays readable."""
    first = parts.champion(97)
    second = parts.train(50, 97, champion=first)
    parts.settle()
    parts.registry.client.set_registered_model_alias(NAME, CHAMPION, str(second))
    parts.settle()
    assert (parts.served, parts.state(second)) == (second, "promoted")
    assert parts.described(second).startswith("The alias champion was moved by hand. Before, it was refused: Accuracy")
    tags = parts.registry.client.get_model_version(NAME, str(second)).tags
    assert tags["retraind.verdict"] == "promoted"
    third = parts.train(40, 50, champion=second)
    parts.settle()
    assert (parts.served, parts.state(third)) == (second, "refused")


def test_mark_is_the_best_version_until_a_person_chooses_another(parts: Parts) -> None:
    """Small falls add up to a refusal; who promotes the version all the same has set a new mark."""
    first = parts.champion(97)
    second = parts.champion(96)
    third = parts.champion(95)
    fourth = parts.train(94, 95, champion=third)
    parts.settle()
    assert (parts.served, parts.state(fourth)) == (third, "refused")
    assert f"from 0.9700 of version {first}, the best so far, to 0.9400" in parts.described(fourth)
    assert parts.ask("promote", fourth)[0] == "done"
    fifth = parts.train(93, 94, champion=fourth)
    parts.settle()
    assert parts.served == fifth
    parts.registry.client.set_registered_model_alias(NAME, CHAMPION, str(second))
    parts.settle()
    sixth = parts.train(93, 96, champion=second)
    parts.settle()
    assert (parts.served, parts.state(sixth)) == (second, "refused")
    seventh = parts.champion(94)
    assert parts.served == seventh, "of the versions before only the chosen one counts"


# After a failure or a kill


@pytest.mark.parametrize("table", ["versions", "swaps"])
def test_what_the_journal_could_not_take_is_recorded_as_soon_as_it_can(parts: Parts, table: str) -> None:
    """The alias has moved, or the pointer: nothing is forgotten, nothing called unservable, without a restart."""
    first = parts.champion()
    second = parts.train(96, 95, champion=first)
    with closing(sqlite3.connect(parts.home.journal)) as connection:
        connection.execute(f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END")
        with pytest.raises(IntegrityError, match="full"):
            parts.settle()
        connection.execute("DROP TRIGGER full")
    parts.settle()
    swap = parts.journal.swaps.last()
    assert swap is not None
    assert (swap["version"], swap["previous"]) == (second, first)
    assert (parts.served, parts.state(second), parts.alias(PREVIOUS)) == (second, "promoted", first)
    assert "unservable" not in {event["kind"] for event in Records(parts.home).events.newest(100)}


def test_swap_that_a_kill_left_unrecorded_is_recorded(parts: Parts) -> None:
    """Pointer written, journal not: the next start records the swap, and `rollback` knows the version before."""
    first = parts.champion()
    second = parts.train(96, 95, champion=first)
    parts.promotion.judge()
    version_row = parts.journal.versions.get(second)
    assert version_row is not None
    bundles.point(
        parts.home, bundle.Pointer(version=second, manifest=version_row["bundle"], since="2026-01-01T00:00:00.000Z")
    )
    parts.restart()
    parts.promotion.recover()
    parts.settle()
    swap = parts.journal.swaps.last()
    assert swap is not None
    assert (swap["version"], swap["previous"]) == (second, first)
    assert parts.alias(PREVIOUS) == first
    assert parts.ask("rollback")[0] == "done"
    assert parts.served == first


def test_bundles_of_killed_trainings_are_swept(parts: Parts) -> None:
    """Staging without a registered version goes; with one it stays and is judged."""
    orphan = parts.home.staging("0" * 32)
    orphan.mkdir()
    (orphan / "model.onnx").touch()
    version = parts.train()
    parts.promotion.recover()
    assert not orphan.exists()
    parts.settle()
    assert parts.served == version


def test_recovering_twice_changes_nothing(parts: Parts) -> None:
    """Starting again and again records nothing new."""
    parts.champion()
    before = len(list(parts.journal.versions.newest())), parts.journal.swaps.last()
    for _ in range(2):
        parts.restart()
        parts.promotion.recover()
        parts.settle()
    assert (len(list(parts.journal.versions.newest())), parts.journal.swaps.last()) == before
