"""retraind.daemon.promotion.promotion: requests to promote, refuse and roll back, and the files that they are."""

import os
from pathlib import Path

import promoting
import pytest
from promoting import Parts
from pydantic import ValidationError
from test_lineage import forget, revision, take

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.storage.model_versions import CHALLENGER, PREVIOUS

parts = pytest.fixture(promoting.parts)

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


def test_rolling_back_twice_goes_back_twice(parts: Parts) -> None:
    """Not to the version that one has just left; with a number it serves any version."""
    versions = [parts.champion() for _ in range(3)]
    assert parts.ask("rollback")[0] == "done"
    assert (parts.served, parts.alias(PREVIOUS)) == (versions[1], versions[2])
    parts.ask("rollback")
    assert parts.served == versions[0]
    state, detail = parts.ask("rollback")
    assert (state, parts.served) == ("refused", versions[0])
    assert "no earlier version" in detail
    parts.ask("rollback", versions[2])
    assert parts.served == versions[2]


def test_going_back_to_a_version_that_was_trained_on_forgotten_rows_says_so(parts: Parts) -> None:
    take(parts.journal, 1)
    poisoned = parts.train(95, revision=revision(1))
    parts.settle()
    forget(parts.journal, 1)
    parts.champion()
    state, detail = parts.ask("rollback")
    assert (state, parts.served) == ("done", poisoned)
    assert detail.endswith(f"Version {poisoned} was trained on rows that have been forgotten since: 1.csv.")


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
        ("rollback", None, "no earlier version"),
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
    assert "version: it must be at most 9007199254740992" in said[0]
    assert "kind: it must be 'retrain'" in said[1]
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
