"""Exams of drops: before a batch is accepted, the served version predicts a sample of its rows.

Each larger drop has its own exam. The model is checked against the journal's sha256 and kept in memory until another
version serves. The sample is bounded, so ten thousand small files cost as much as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from retraind.daemon.artifacts import bundle, reference_sample
from retraind.daemon.core import logs
from retraind.daemon.core.errors import BundleRefused, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import shown
from retraind.daemon.core.journal_rows import ExamRecord, ExamRow
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.ingest.exam_scores import LEAST_ROWS, RECENT, Exam, ExpectedError, examine
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.daemon.tabular import rows

log = logs.Logger()

MOST_SAMPLED = 20_000
"""Maximum rows of one batch that are predicted."""

MOST_DROPS = 400
"""Number of drops (the largest of a batch) with their own exams; each exam costs up to a millisecond."""

MOST_COLUMNS = 10_000
"""Maximum number of compared columns, summed over a batch's exams, so that wide tables have fewer exams."""

MOST_ROWS = 1_000
"""Maximum rows of one drop that are predicted."""

POOLED = ""
"""Replaces a drop's sha256 in the exam of all small drops of a batch."""

UNEXAMINED = "unexamined"
"""The journal's key for the reason why exams fail."""


@dataclass(frozen=True)
class _Served:
    version: int
    model: bundle.Model
    training_rows: bundle.Matrix | None
    """A sample of its training rows; None if an older release made it without one."""
    expected: ExpectedError | None
    """None if it has no score on held-out rows, so nothing can be compared."""


class Sampled:
    """A bounded sample of a drop that is read in parts, evenly from all parts."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []

    def add(self, part: pa.Table) -> None:
        """Sample some rows of a part."""
        self._parts.append(part.take(pa.array(_evenly(np.arange(part.num_rows), MOST_ROWS))))
        if sum(kept.num_rows for kept in self._parts) > MOST_SAMPLED:
            self._parts = [kept.take(pa.array(np.arange(0, kept.num_rows, 2))) for kept in self._parts]

    def table(self) -> pa.Table:
        """The sampled rows."""
        return pa.concat_tables(self._parts, promote_options="permissive").unify_dictionaries()


class ExamRunner:
    """Gives exams; used by the loop thread."""

    def __init__(self, home: Home, journal: Journal) -> None:
        self._home, self._journal = home, journal
        self._served: _Served | None = None
        self.problem: str | None = journal.key_values.get(UNEXAMINED)
        """Why the last drops could not be examined; it survives restarts and is cleared by the next successful exam."""
        self._exams_given: list[ExamRecord] = []
        self._looked_at: tuple[tuple[int, str] | None, bool] = (None, False)
        """The served version, by number and sha256, and whether it has scores to compare with."""

    def examine(self, readings: Sequence[Reading], table: pa.Table) -> None:
        """Examine the drops whose rows are in `table`, if a version serves; `record` records the exams.

        A failed exam is reported but delays no drop, because it is not the drop's fault.
        """
        self._exams_given = []
        try:
            served = self._load()
            self._exams_given = [] if served is None else self._exams(served, readings, table)
        except Exception as error:
            problem = f"Drops can't be examined: {type(error).__name__}: {error}"[:1000]
            if problem != self.problem:
                log.exception("not_examined")
            self._note(problem)
        else:
            self._note(None)

    def _note(self, problem: str | None) -> None:
        """Record why exams fail; None if they succeed again."""
        if problem == self.problem:
            return
        with self._journal.together():
            self._journal.key_values.put(UNEXAMINED, problem)
            if problem is not None:
                self._journal.events.record(EventKind.PROBLEM, problem, level=Level.WARNING)
        self.problem = problem

    @property
    def objection(self) -> str | None:
        """`problem` and its consequence, for the daemon's health."""
        if self.problem is None:
            return None
        return f"{self.problem.rstrip('.')}. They are accepted without an exam, and none is held, until an exam succeeds again."

    def state(self, served: tuple[int, str] | None, *, holds: bool) -> str:
        """A sentence for people on whether drops are examined; `served` is the version and the sha256 of its manifest.

        With `holds`, suspicious drops wait for a person, so the sentence says when none can be detected.
        """
        if served is not None and self._promises(served):
            return "Drops are examined before they are accepted."
        why, until = "no version is served yet", "one is"
        if served is not None:
            why, until = f"version {served[0]} has no score on held-out rows to compare with", "one with a score serves"
        held = ", and none is held," if holds else ""
        return f"Nothing is examined: {why}. Drops are accepted without an exam{held} until {until}."

    def _promises(self, served: tuple[int, str]) -> bool:
        """Whether drops can be compared with the version's scores.

        True for an unreadable manifest, which the exams report.
        """
        if self._looked_at[0] != served:
            try:
                manifest = bundle.read_manifest(self._home.bundle(served[0]), served[1])
            except BundleRefused:
                return True
            self._looked_at = served, _expected_error(manifest) is not None
        return self._looked_at[1]

    @property
    def suspicious(self) -> list[ExamRecord]:
        """The suspicious ones of the last exams: drop (sha256), reason, version and figures."""
        return [exam for exam in self._exams_given if exam["suspicious"]]

    def record(self, batch: int) -> None:
        """Record the exams with their batch, as part of the transaction that accepts it."""
        self._journal.exams.record(self._exams_given, batch)
        self._exams_given = []

    def _load(self) -> _Served | None:
        pointer = bundle.read_pointer(self._home.pointer)
        judged = None if pointer is None else self._journal.versions.get(pointer.version)
        if pointer is None or judged is None:
            return None
        if self._served is None or (self._served.version, self._served.model.sha256) != (
            pointer.version,
            judged["bundle"],
        ):
            folder = self._home.bundle(pointer.version)
            model = bundle.load(folder, judged["bundle"])
            sample = reference_sample.read(folder, model.manifest)
            training_rows = None if sample is None else sample.rows[_evenly(np.arange(len(sample.rows)), MOST_ROWS)]
            self._served = _Served(pointer.version, model, training_rows, _expected_error(model.manifest))
        return self._served

    def _exams(self, served: _Served, readings: Sequence[Reading], table: pa.Table) -> list[ExamRecord]:
        schema = served.model.manifest.data_schema
        if served.expected is None or schema.target not in table.column_names:
            return []
        if gone := [name for name in schema.features if name not in table.column_names]:
            raise RetraindError(
                f"version {served.version} needs the column {gone[0]!r:.100}, which the schema no longer has.",
                hint="`retraind retrain --force` trains one without it.",
            )
        before = [_parsed(row) for row in self._journal.exams.representative(RECENT)]
        names = {reading.drop.sha256: shown(reading.drop.name) for reading in readings if not reading.error}
        samples = _samples(table, most_drops(schema))
        sampled = table.take(pa.array(np.concatenate([which for _, which in samples])))
        matrix = rows.matrix(sampled, schema)
        truths: Any = (
            sampled[schema.target].to_pylist() if schema.task == "classification" else rows.targets(sampled, schema)
        )
        with np.errstate(all="ignore"):  # values near the largest double overflow inside the model
            answers = served.model.answers(matrix)
        records, begin = [], 0
        for sha256, which in samples:
            part, begin = slice(begin, begin + len(which)), begin + len(which)
            of = matrix[part], truths[part], answers[part]
            exam = examine(
                schema, served.version, served.expected, served.training_rows, *of, before, served.model.costs
            )
            records.append(_record(served.version, sha256, names.get(sha256, ""), exam))
        return records


def most_drops(schema: Schema) -> int:
    """Number of drops of one batch with their own exams."""
    return min(MOST_DROPS, max(1, MOST_COLUMNS // len(schema.columns)))


def _expected_error(manifest: bundle.Manifest) -> ExpectedError | None:
    """The version's expected error, from its held-out rows."""
    score = (manifest.scores.get("challenger") or {}).get("rolling")
    if not score or not score["n"]:
        return None
    error = score["mae"] if manifest.data_schema.task == "regression" else 1.0 - score["accuracy"]
    if error is None:  # the errors were too large to be measured
        return None
    return ExpectedError(error, score["n"], {name: float(n) for name, n in (score.get("support") or {}).items()})


def _samples(table: pa.Table, drops_asked: int) -> list[tuple[str, NDArray[np.int64]]]:
    """The rows to predict, evenly spread, for each drop with enough rows and for all others together (POOLED)."""
    drops = table["_drop"].combine_chunks()
    drops = drops if isinstance(drops, pa.DictionaryArray) else drops.dictionary_encode()
    codes = drops.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(drops.dictionary) + 1))
    counts = np.diff(starts)
    large = [
        index for index in np.argsort(-counts, kind="stable")[:drops_asked].tolist() if counts[index] >= LEAST_ROWS
    ]
    most = min(MOST_ROWS, max(LEAST_ROWS, MOST_SAMPLED // max(1, len(large))))
    shas = drops.dictionary.to_pylist()
    samples = [(shas[index], _evenly(order[starts[index] : starts[index + 1]], most)) for index in large]
    rest = np.setdiff1d(np.arange(len(codes)), order[np.isin(codes[order], large)], assume_unique=True)
    if len(rest):
        samples.append((POOLED, _evenly(rest, MOST_ROWS)))
    return samples


def _evenly(which: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(which) <= most:
        return which
    return which[np.linspace(0, len(which) - 1, most).astype(np.int64)]


def _record(version: int, sha256: str, name: str, exam: Exam) -> ExamRecord:
    reason = "" if sha256 == POOLED else "; ".join(exam.reasons)
    return {
        "drop": sha256,
        "name": name,
        "version": version,
        "n": exam.n,
        "error": exam.error,
        "usual": exam.usual,
        "mix": exam.mix,
        "shifts": orjson.dumps(exam.shifts).decode(),
        "suspicious": int(bool(reason)),
        "reason": reason,
    }


def _parsed(row: ExamRow) -> Exam:
    return Exam(row["n"], row["error"], row["usual"], row["mix"], orjson.loads(row["shifts"]))
