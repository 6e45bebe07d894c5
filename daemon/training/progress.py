"""Progress: the messages of a running training, for the status, the journal and people who follow it.

`retraind.daemon.processes.training_job` has their types.
"""

import time
from typing import Self, TypedDict, Unpack

from retraind.daemon.processes.training_job import Say, Stage

PAUSE = 0.5
"""Seconds between two messages about folds: quick candidates would wake the daemon a hundred times."""

NOTEWORTHY = 1e9
"""Seconds that make a line noteworthy, whatever the journal's limit is."""

AROUND = 3
"""Steps beside the candidates: reading, fitting the winner, logging."""


class _Fold(TypedDict, total=False):
    """Position in the cross-validation."""

    candidate: int
    candidates: int
    fold: int
    folds: int
    left: float | None


class Progress:
    """Reports the progress of the training `run` with so many candidates."""

    def __init__(self, run: int, candidates: int, say: Say) -> None:
        self._run, self.candidates, self._say = run, candidates, say
        self._stage, self._step = "", 0
        self._compared_since = self._told = 0.0
        self._number = self._step_before = 0

    @classmethod
    def silent(cls) -> Self:
        """One that reports nothing."""
        return cls(0, 0, lambda _message: None)

    def stage(self, name: str, step: int | None = None) -> None:
        """Report the present step; the steps are reading (1), one for each candidate, fitting and logging."""
        self._stage, self._step = name, self._step + 1 if step is None else step
        self._send()

    def fold(self, candidate: str, number: int, fold: int, folds: int, done: float) -> None:
        """Report that a fold (from 1) of the candidate with this number (from 1) runs; `done` is the share of all folds that have ended.

        A candidate's first report is always sent, others now and then.
        """
        now = time.monotonic()
        if not self._compared_since:
            self._compared_since, self._step_before = now, self._step
        if number != self._number:
            self._stage, self._step, self._number = f"cross-validating {candidate}", self._step_before + number, number
        elif now - self._told < PAUSE:
            return
        left = (now - self._compared_since) * (1 - done) / done if done > 0 else None
        self._send(candidate=number, candidates=self.candidates, fold=fold, folds=folds, left=left)

    def note(self, sentence: str, seconds: float) -> None:
        """Report a line for the journal; `seconds` is the duration."""
        self._say({"run": self._run, "note": sentence, "seconds": seconds})

    def announce(self, sentence: str) -> None:
        """Report a line for the journal, however little time it took."""
        self.note(sentence, NOTEWORTHY)

    def engine(self, sentence: str, problem: str) -> None:
        """Report where candidates are compared, and what is wrong with that; empty if nothing is."""
        self._say({"run": self._run, "engine": sentence, "problem": problem})

    def _send(self, **fold: Unpack[_Fold]) -> None:
        self._told = time.monotonic()
        place: Stage = {
            "run": self._run,
            "stage": self._stage,
            "step": self._step,
            "steps": self.candidates + AROUND,
        }
        self._say({**place, **fold})
