"""What must hold: after every step of the loop, whenever it waits, and once everything has come to rest."""

import os
from collections import Counter
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import checks
import pyarrow.parquet as pq
from clock import Moments
from points import POINTS
from sqlalchemy import func, select
from world import Asked, Violated, World

from retraind.daemon.cli import doctor
from retraind.daemon.core import durable, requests, status
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import BAD_ROWS, PREDICT, REPORT
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.inbox.drop_removal import HIDDEN_PREFIX
from retraind.daemon.retraining import policy
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.journal_tables import drops, events
from retraind.daemon.storage.journal_tables import requests as answers

if TYPE_CHECKING:
    from lives import Life

WAITS = 60
"""Waits of the loop, a second each, in which what can be done is done."""

REPEATS = 40
"""The same event does not come so often in one short world."""


class Truths:
    """Compares one life's home with its world."""

    def __init__(self, world: World, home: Home) -> None:
        self.world, self.home = world, home
        self._writes = -1
        self.accepted: set[str] = set()
        """sha256 of the drops whose rows the dataset holds."""
        self._decided: Counter[tuple[str, str]] = Counter()
        self._live: dict[str, int] = {}
        self._due = 0
        self._calm = 0
        self._wrote = -1
        self._well_at = world.clock.now

    # After every step

    def after_step(self, life: "Life") -> None:
        """No row is lost or there twice, no file of a row is gone, no drop has vanished, what failed by itself is well again."""
        if not self._can_ask(life.journal):
            return
        if life.journal.writes != self._writes:
            self._writes = life.journal.writes
            self._look(life.journal)
        there = set(os.listdir(self.home.segments))
        if gone := self._live.keys() - there:
            raise Violated(f"segments of the dataset are gone: {sorted(gone)}")
        self._count_rows()
        self._find_drops()
        problems = life.loop.health.problems
        if broken := [text for text in problems.values() if text.startswith(("AttributeError", "TypeError"))]:
            raise Violated(f"it is not the world that is wrong: {broken}")
        now = self.world.clock.now
        if not problems or not self.world.quiet:
            self._well_at = now
        # A duty that has failed is tried again half a minute later, and large drops take many turns of no time.
        if self.world.quiet > 3 * WAITS and self.world.idle > 0 and now - self._well_at > WAITS:
            raise Violated(f"it does not get well: {problems}")

    def _can_ask(self, journal: Journal) -> bool:
        """Whether the journal's server is there, and was a moment ago, when the daemon last tried it."""
        if POINTS.away:
            return False
        try:
            journal.key_values.get("anything")
        except Unavailable as error:
            if self.world.quiet > WAITS:
                raise Violated(f"the journal can't be asked: {error}") from error
            return False
        return True

    def _look(self, journal: Journal) -> None:
        decided = journal.database.rows(select(drops.c.name, drops.c.sha256, drops.c.state))
        self.accepted = {row["sha256"] for row in decided if row["state"] == "accepted"}
        taken = Counter(row["sha256"] for row in decided if row["state"] in ("accepted", "forgotten"))
        if twice := [sha256 for sha256, count in taken.items() if count > 1]:
            raise Violated(f"drops are accepted twice: {twice}")
        for row in decided:
            if row["state"] == "rejected" and row["sha256"] in self.accepted:
                raise Violated(f"{row['name']} is rejected, and its rows are in the dataset")
        self._decided = Counter((row["name"], row["sha256"]) for row in decided)
        self._live = {one["name"]: one["rows"] for one in journal.segments.current()}

    def _count_rows(self) -> None:
        counts: Counter[float] = Counter()
        for name in self._live:
            if name not in self.world.rows:
                table = pq.read_table(self.home.segments / name, columns=["sepal_length"])
                self.world.rows[name] = Counter(table["sepal_length"].to_pylist())
            counts += self.world.rows[name]
        expected = Counter(row for sha256 in self.accepted for row in self.world.contents[sha256].rows)
        if counts != expected:
            raise Violated(f"rows are lost: {_some(expected - counts)}, too many: {_some(counts - expected)}")

    def _find_drops(self) -> None:
        there = os.listdir(self.home.inbox)
        hidden = [name.removeprefix(HIDDEN_PREFIX)[9:] for name in there if name.startswith(HIDDEN_PREFIX)]
        names = {*there, *hidden}
        for put in self.world.puts:
            # One that was begun again after a death has two records.
            if not self._decided[put.name, put.sha256] and not any(name.endswith(put.name) for name in names):
                raise Violated(f"{put.name} is gone, and nothing is known of it")

    # Whenever the loop waits

    def at_rest(self, life: "Life") -> None:
        """The loop has nothing to do: whoever could be served has not been waiting for long."""
        if not self._can_ask(life.journal):
            return
        if self.world.quiet:
            self._wait_for(life)
        self._count_events(life.journal)
        unrest = self.unrest(life) if self.world.settling > 1 and self.world.quiet > 1 else ["actions to come"]
        calm = not unrest and life.journal.writes == self._wrote
        self._wrote = life.journal.writes
        self._calm = self._calm + 1 if calm else 0
        if self._calm > 1:
            self._calm = 0
            life.rest()

    def _wait_for(self, life: "Life") -> None:
        for put in self.world.puts:
            if not self._decided[put.name, put.sha256]:
                put.waits += 1
                if put.waits > WAITS:
                    raise Violated(f"{put.name} is not taken in {WAITS} waits")
        pending = {one.id for one in requests.pending(self.home)}
        for asked in self.world.asked:
            asked.waits += asked.identity in pending and not self._held_up(life, asked)
            if asked.waits > WAITS:
                raise Violated(f"{asked.what} {asked.identity[:8]} is not answered in {WAITS} waits")
        self._due = self._due + 1 if self.due(life) else 0
        if self._due > WAITS // 3:
            raise Violated(f"a training is due and does not start: {self.due(life)}")

    def _held_up(self, life: "Life", asked: Asked) -> bool:
        """Forgetting waits for a training that reads."""
        return asked.what == "forget" and life.retraining.progress is not None

    def due(self, life: "Life") -> str | None:
        """Why a training should start that does not run."""
        if life.retraining.progress is not None or not life.trainee.ready:
            return None
        now = Moments.now(UTC)
        queued = [one for one in life.journal.requests.queued() if one["kind"] == "retrain"]
        return policy.due(life.retraining.facts(now, queued), life.settings.retrain, now)

    def _count_events(self, journal: Journal) -> None:
        most = journal.database.rows(
            select(events.c.kind, events.c.message, func.count().label("n"))
            .where(events.c.kind != "healed")
            .group_by(events.c.kind, events.c.message)
            .order_by(func.count().desc())
            .limit(1)
        )
        if most and most[0]["n"] > REPEATS:
            raise Violated(f"told without end: {most[0]['kind']}: {most[0]['message']}")

    # Once everything has come to rest

    def unrest(self, life: "Life") -> list[str]:
        """What is still to come."""
        problems = life.loop.health.problems
        files = [name for name in os.listdir(self.home.inbox) if name not in (PREDICT, "rejected")]
        reasons = [f"in the inbox: {files}"] if files else []
        pending = [one.kind for one in requests.pending(self.home)]
        reasons += [f"asked for: {pending}"] if pending else []
        queued = [one["kind"] for one in life.journal.requests.queued()]
        reasons += [f"queued: {queued}"] if queued else []
        reasons += ["a batch is not committed"] if life.journal.batches.uncommitted() else []
        reasons += ["a training runs"] if life.retraining.progress else []
        reasons += [f"problems: {problems}"] if problems else []
        reasons += [f"a training is due: {reason}"] if (reason := self._coming(life)) else []
        return reasons

    def _coming(self, life: "Life") -> str | None:
        """Why a training should start as soon as it may: the pause after failures is none of what keeps things at rest."""
        now = Moments.now(UTC)
        facts = replace(life.retraining.facts(now), last_start=None, last_alarm=None)
        return policy.due(facts, life.settings.retrain, now)

    def everything(self, life: "Life") -> None:
        """What takes longer: hashes, git and DVC, what was refused, requests, versions, doctor and status."""
        try:
            parts = Opened(life)
            checks.check_objects(parts)
            checks.check_git(parts)
        except AssertionError as error:
            raise Violated(f"data: {error}") from error
        self._check_refused(life.journal)
        self._check_answers(life.journal)
        self._check_purged(life.journal)
        self._check_served(life)
        self._check_health()

    def _check_refused(self, journal: Journal) -> None:
        """Every rejected file is kept once, every bad row of an accepted drop once."""
        kept = {path.name: path.read_bytes() for path in self.home.rejected.iterdir()}
        files = Counter(durable.sha256(data) for name, data in kept.items() if not name.endswith((REPORT, BAD_ROWS)))
        rejected = {
            (row["name"], row["sha256"])
            for row in journal.database.rows(select(drops).where(drops.c.state == "rejected"))
        }
        expected = Counter(sha256 for _, sha256 in rejected)
        if files - expected or (not self.world.old and expected - files):
            raise Violated(f"refused files: lost {expected - files}, too many {files - expected}")
        lines = b"\n".join(data for name, data in kept.items() if name.endswith(BAD_ROWS)).decode()
        for sha256, content in self.world.contents.items():
            for mark in content.bad:
                times, right = lines.count(f"{mark},"), int(sha256 in self.accepted)
                if times > right or (times < right and not self.world.old):
                    raise Violated(f"bad row {mark} is kept {times} times")

    def _check_answers(self, journal: Journal) -> None:
        answered = {row["id"]: row for row in journal.database.rows(select(answers))}
        for asked in self.world.asked:
            row = answered.get(asked.identity)
            if row is None or row["state"] not in ("done", "refused"):
                raise Violated(f"{asked.what} {asked.identity[:8]} has no answer")
            if asked.known and row["state"] != "done":
                raise Violated(f"{asked.what} {asked.identity[:8]} of an accepted drop is refused: {row['detail']}")
            if asked.drop in self.accepted and row["state"] == "done":
                raise Violated(f"{asked.drop[:8]} is forgotten, and its rows are in the dataset")

    def _check_purged(self, journal: Journal) -> None:
        """No file below data/ holds a row of a drop that was purged."""
        done = {row["id"] for row in journal.database.rows(select(answers).where(answers.c.state == "done"))}
        gone = {asked.drop for asked in self.world.asked if asked.purge and asked.identity in done}
        rows = {row for sha256 in gone for row in self.world.contents[sha256].rows}
        if not rows:
            return
        for path in self.home.data.rglob("*"):
            if _is_parquet(path):
                held = rows & set(pq.read_table(path, columns=["sepal_length"])["sepal_length"].to_pylist())
                if held:
                    raise Violated(f"{path.relative_to(self.home.root)} holds rows that were purged: {sorted(held)}")

    def _check_served(self, life: "Life") -> None:
        """What the alias names is served, every version has a verdict, and no training is on record as running."""
        served, alias = life.served(), life.models.alias("champion")
        version_row = None if alias is None else life.journal.versions.get(alias)
        if served != alias and (version_row is None or version_row["state"] != "unservable"):
            raise Violated(f"version {served} is served, the alias names {alias}")
        judged = {row["version"] for row in life.journal.versions.newest()}
        if unjudged := {one.version for one in life.models.versions()} - judged:
            raise Violated(f"versions without a verdict: {unjudged}")
        if runs := life.journal.runs.open():
            raise Violated(f"runs are open: {[run['id'] for run in runs]}")

    def _check_health(self) -> None:
        """Doctor and status say that all is well, which it is."""
        if wrong := [one for one in doctor.examine(self.home) if not one["ok"]]:
            raise Violated(f"doctor: {wrong}")
        said = status.read(self.home.status)
        assert said is not None
        bad = {name: check.detail for name, check in said.checks.items() if not check.ok}
        if bad or said.rows != sum(self._live.values()):
            raise Violated(f"status: {bad}, {said.rows} rows of {sum(self._live.values())}")


class Opened:
    """A life as the checks of `tests/faults` want it."""

    def __init__(self, life: "Life") -> None:
        self.home, self.journal = life.home, life.journal
        self.dataset = Dataset(life.home)

    def segments(self, what: Literal["sha256", "md5"]) -> dict[str, str]:
        """`sha256` or `md5` of each segment that the dataset consists of, by name."""
        return {one["name"]: one[what] for one in self.journal.segments.current()}


def _some(rows: Counter[float]) -> list[float]:
    return sorted(rows.elements())[:10]


def _is_parquet(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"
