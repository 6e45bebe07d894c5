"""daemon.promotion.promotion and judging: verdicts, requests and the pointer, with real bundles, MLflow and journal."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
from pydantic import ValidationError
from scoring import scores
from sqlalchemy.exc import IntegrityError
from test_lineage import forget, revision, take

from daemon.artifacts import bundle
from daemon.artifacts.bundle import Manifest
from daemon.cli import doctor
from daemon.core import requests
from daemon.core.home import Home
from daemon.core.settings import Promote
from daemon.core.states import Trigger
from daemon.promotion.promotion import Promotion
from daemon.records.records import Records
from daemon.registry.registry import Registry
from daemon.storage.journal import Journal
from daemon.storage.model_versions import CHALLENGER, CHAMPION, NAME, PREVIOUS, ModelVersions


class Parts:
    """A home with registry and journal, whose versions are small real bundles."""

    def __init__(self, home: Home, journal: Journal) -> None:
        self.home, self.journal = home, journal
        self.registry = Registry(home)
        self.registry.open()
        self.models = ModelVersions(home)
        self.restart()

    def restart(self, **settings: Any) -> None:
        self.promotion = Promotion(self.home, Promote(**settings), self.journal, self.models)

    def train(
        self, new: int = 95, old: int | None = None, champion: int | None = None, favourite: int = 0, **changes: str
    ) -> int:
        """What the trainer leaves behind: a sealed bundle in staging, and a version that names its sha256.

        The model answers nearly always with its favourite class.
        """
        run = self.registry.start_run("training", {})
        bundles.make(self.home, 999, favourite)
        made = self.home.bundle(999)
        manifest = Manifest.model_validate_json((made / bundle.MANIFEST).read_bytes())
        figures = scores(new, old) | {"champion_version": champion}
        sealed = bundle.seal(made, manifest.model_copy(update={"run": run, "scores": figures, **changes}))
        made.rename(self.home.staging(run))
        return self.register(run, sealed)

    def register(self, run: str, sealed: str) -> int:
        """A version without an MLflow model, which takes a second to log."""
        labels = {"retraind.bundle": sealed}
        return int(self.registry.client.create_model_version(NAME, "file:///nowhere", run, labels).version)

    def settle(self) -> None:
        """Do what there is to do."""
        for _ in range(50):
            promotion = self.promotion
            if not (promotion.answer() or promotion.adopt() or promotion.judge() or promotion.watch()):
                return
        raise AssertionError("promotion never comes to rest")

    def champion(self, new: int = 95, favourite: int = 0) -> int:
        """Train, judge and serve a version that beats whatever is served."""
        served = self.served
        version = self.train(new, None if served is None else new, served, favourite)
        self.settle()
        assert self.served == version
        return version

    def ask(self, kind: requests.Kind, version: int | None = None) -> tuple[str, str]:
        """Make a request and have it answered: state and detail."""
        request = requests.submit(self.home, kind, version=version)
        self.settle()
        rows = [row for row in self.requests() if row["id"] == request.id]
        assert requests.pending(self.home) == []
        return rows[0]["state"], rows[0]["detail"]

    def requests(self) -> list[Any]:
        from sqlalchemy import select

        from daemon.storage.journal_tables import requests as table

        return list(self.journal.database.rows(select(table)))

    @property
    def served(self) -> int | None:
        pointer = bundle.read_pointer(self.home.pointer)
        return None if pointer is None else pointer.version

    def alias(self, name: str) -> int | None:
        return self.models.alias(name)

    def described(self, version: int) -> str:
        return self.registry.client.get_model_version(NAME, str(version)).description or ""

    def state(self, version: int) -> str | None:
        version_row = self.journal.versions.get(version)
        return None if version_row is None else str(version_row["state"])


@pytest.fixture
def parts(mlflow_home: Home, journal: Journal) -> Parts:
    return Parts(mlflow_home, journal)


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
    said = (
        f"Version {first} was trained on rows that are forgotten (2.csv); `retraind promote {second}` serves this one."
    )
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


# Requests


def test_manual_mode_waits_for_a_person(parts: Parts) -> None:
    """A good challenger is held; `promote` serves it and takes the alias `challenger` away."""
    first = parts.champion()
    parts.restart(mode="manual")
    second = parts.train(96, 95, champion=first)
    parts.settle()
    assert (parts.served, parts.alias(CHALLENGER), parts.state(second)) == (first, second, "held")
    assert parts.ask("promote")[0] == "done"
    assert (parts.served, parts.alias(CHALLENGER), parts.state(second)) == (second, None, "promoted")


def test_a_version_that_waits_can_be_refused(parts: Parts) -> None:
    """It gives up its alias, and its verdict is told everywhere; what does not wait can't be refused."""
    first = parts.champion()
    parts.restart(mode="manual")
    held = parts.train(96, 95, champion=first)
    parts.settle()
    assert (parts.state(held), parts.alias(CHALLENGER)) == ("held", held)
    assert parts.ask("refuse") == ("done", f"Version {held} is refused.")
    assert (parts.state(held), parts.alias(CHALLENGER), parts.served) == ("refused", None, first)
    assert "By request (refuse, cli)." in parts.described(held)
    assert parts.ask("refuse")[0] == "refused"
    assert parts.ask("refuse", first) == ("refused", f"Version {first} is not waiting for a decision: it is promoted.")


def test_newer_champion_supersedes_what_waits(parts: Parts) -> None:
    """`promote` without a number never goes back; who wants the older version all the same names it."""
    first = parts.champion()
    parts.restart(mode="manual")
    held = parts.train(96, 95, champion=first)
    parts.settle()
    parts.restart(mode="auto")
    newer = parts.train(99, 95, champion=first)
    parts.settle()
    assert (parts.served, parts.alias(CHALLENGER), parts.state(held)) == (newer, None, "refused")
    assert parts.described(held).startswith(f"Superseded by version {newer}. Before, it was held: Accuracy")
    assert parts.ask("promote")[0] == "refused"
    assert parts.served == newer
    assert parts.ask("promote", held)[0] == "done"
    assert parts.served == held


def test_only_what_is_older_than_the_champion_is_superseded(parts: Parts) -> None:
    """Of three that wait the second is served: the first waits no more, the third does."""
    first = parts.champion()
    parts.restart(mode="manual")
    held = [parts.train(96, 95, champion=first) for _ in range(3)]
    parts.settle()
    assert parts.ask("promote", held[1])[0] == "done"
    assert [parts.state(one) for one in held] == ["refused", "promoted", "held"]
    assert (parts.served, parts.alias(CHALLENGER)) == (held[1], held[2])
    parts.ask("rollback")
    assert (parts.served, parts.alias(CHALLENGER)) == (first, held[2])


def test_stale_challenger_of_an_older_program_is_superseded_at_the_next_look(parts: Parts) -> None:
    """Also where nothing is swapped: the alias, and what the journal says of it."""
    first, second = parts.champion(), parts.champion()
    parts.models.set_alias(CHALLENGER, first)
    parts.settle()
    assert (parts.served, parts.alias(CHALLENGER), parts.state(first)) == (second, None, "promoted")


def test_rollback_and_back(parts: Parts) -> None:
    """`rollback` serves the version before, and once more the one it came from; with a number any version."""
    versions = [parts.champion() for _ in range(3)]
    assert parts.ask("rollback")[0] == "done"
    assert (parts.served, parts.alias(PREVIOUS)) == (versions[1], versions[2])
    parts.ask("rollback")
    assert parts.served == versions[2]
    parts.ask("rollback", versions[0])
    assert parts.served == versions[0]


def test_refused_version_can_be_promoted_by_a_person(parts: Parts) -> None:
    """The policy proposes, people decide."""
    first = parts.champion()
    second = parts.train(50, 95, champion=first)
    parts.settle()
    assert parts.ask("promote", second)[0] == "done"
    assert (parts.served, parts.state(second)) == (second, "promoted")


@pytest.mark.parametrize(
    ("kind", "version", "part"),
    [
        ("promote", None, "no challenger version"),
        ("rollback", None, "no previous version"),
        ("promote", 99, "no version 99"),
    ],
)
def test_request_that_means_nothing_is_refused(
    parts: Parts, kind: requests.Kind, version: int | None, part: str
) -> None:
    """The answer says what is missing, and nothing changes."""
    first = parts.champion()
    state, detail = parts.ask(kind, version)
    assert (state, parts.served) == ("refused", first)
    assert part in detail


def test_request_for_a_damaged_version_is_refused(parts: Parts) -> None:
    """A bundle that differs from its record is never served, whoever requests it."""
    parts.champion()
    second = parts.champion()
    first = second - 1
    (parts.home.bundle(first) / bundle.PROBE).unlink()
    state, detail = parts.ask("rollback")
    assert (state, parts.served) == ("refused", second)
    assert "not a readable bundle" in detail


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


# The requests' files


def test_request_survives_as_a_file(home: Home) -> None:
    """Requests come in the order in which they were made; a file that is not a request stays and does no harm."""
    made = [requests.submit(home, "retrain", force=True), requests.submit(home, "promote", version=3, by="http")]
    (home.requests / "0-note.json").write_text("{}")
    (home.requests / "1-torn.json").write_text('{"id')
    assert requests.pending(home) == made
    for request in (made[0], made[0]):
        requests.consume(home, request)
    assert requests.pending(home) == [made[1]]
    assert {Path(path).name for path in home.requests.iterdir()} >= {"0-note.json", "1-torn.json"}


def test_what_is_no_request_is_set_aside_with_the_reason(home: Home) -> None:
    """A version beyond every number of the journal, a kind of a newer retraind, a torn file; what is one stays."""
    made = requests.submit(home, "retrain")
    contents = {
        "0.json": '{"kind": "promote", "version": 9223372036854775808}',
        "1.json": '{"kind": "fly"}',
        "2.json": '{"id',
    }
    for name, text in contents.items():
        (home.requests / name).write_text(text)
    said = requests.set_aside(home)
    assert [sentence.partition(" is not a request")[0] for sentence in said] == [
        f"registry/requests/{name}" for name in contents
    ]
    assert "version: Input should be less than or equal to 9007199254740992" in said[0]
    assert "kind: Input should be 'retrain'" in said[1]
    for name, text in contents.items():
        assert (home.requests / f"{name}.unreadable").read_text() == text
    assert requests.set_aside(home) == []
    assert requests.pending(home) == [made]


def test_request_counts_once_whatever_its_file_is_called(parts: Parts) -> None:
    """A name made by hand: it is answered, its file goes, and nothing is done again."""
    parts.champion()
    hand_made = parts.home.requests / "y.json"
    hand_made.write_text('{"kind": "promote", "version": 1, "by": "cli"}')
    parts.settle()
    assert not hand_made.exists()
    assert [(row["kind"], row["state"]) for row in parts.requests()] == [("promote", "done")]


def test_request_of_another_user_is_ignored(home: Home) -> None:
    """Only a regular file of this user or of root asks for anything; the others are set aside, and nothing waits for them."""
    text = '{"kind": "rollback"}'
    (home.root / "elsewhere.json").write_text(text)
    (home.requests / "link.json").symlink_to(home.root / "elsewhere.json")
    (home.requests / "folder.json").mkdir()
    (home.requests / "large.json").write_text(text + " " * requests.MOST_BYTES)
    os.mkfifo(home.requests / "pipe.json")
    names = {"link.json", "folder.json", "large.json", "pipe.json"}
    if os.getuid() == 0:
        (home.requests / "nobodys.json").write_text(text)
        os.chown(home.requests / "nobodys.json", 65534, 65534)
        names |= {"nobodys.json"}
    assert requests.pending(home) == []
    assert len(requests.set_aside(home)) == len(names)
    assert {path.name for path in home.requests.iterdir()} == {f"{name}.unreadable" for name in names}


@pytest.mark.parametrize("version", [0, 2**53 + 1])
def test_request_for_a_version_that_can_not_be_is_none(home: Home, version: int) -> None:
    """The journal could not look such a number up; nothing is written."""
    with pytest.raises(ValidationError):
        requests.submit(home, "promote", version=version)
    assert list(home.requests.iterdir()) == []
