"""An attempt: the folds of one candidate as they come in, in any order, until there are enough for its scores."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from retraind.daemon.schema.scores import Scores
from retraind.daemon.training.selection import candidates
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.cross_validation import Fold, Scored, Trial, is_behind, settled_by_loss
from retraind.daemon.training.selection.tasks import Result, Task


class Shortfall(NamedTuple):
    """Estimated seconds for all folds one after the other, 0 if unknown, whether it may be more, and a clause on them."""

    seconds: float
    at_least: bool
    clause: str


def expected(scores: Scores, compared: int, rows: int) -> dict[str, float]:
    """Seconds of each candidate's folds on so many rows, by those of a version whose training has `compared` so many."""
    growth = max(1.0, rows / max(1, compared))
    return {one["name"]: one["fit_seconds"] * growth for one in scores.get("candidates", [])}


class Attempt:
    """The folds of a candidate. Its result does not depend on the order in which they end."""

    def __init__(self, trial: Trial, candidate: Candidate) -> None:
        self._trial, self.candidate = trial, candidate
        self.tasks = [Task(candidate, fold) for fold in range(trial.folds.count)]
        self._folds: dict[int, Fold] = {}
        self._problems: dict[int, str] = {}
        self._seconds: dict[int, float] = {}

    def take(self, result: Result) -> list[Task]:
        """Take the result of a task; returns the tasks that are pointless because this one failed."""
        number = result.task.fold
        self._seconds[number] = result.seconds
        if result.fold is not None:
            self._folds[number] = result.fold
            return []
        self._problems[number] = result.problem
        # Earlier folds still run, because the first one that fails gives the reason, whichever ends first.
        return [task for task in self.open if task.fold > number]

    @property
    def open(self) -> list[Task]:
        """The tasks without a result."""
        return [task for task in self.tasks if task.fold not in self._seconds]

    @property
    def finished(self) -> bool:
        """Whether the result is certain: all folds have ended, or those before one that failed."""
        failed = min(self._problems, default=math.inf)
        return not any(task.fold < failed for task in self.open)

    @property
    def usable(self) -> bool:
        """Whether at least one fold was scored, and none failed."""
        return bool(self._folds) and not self._problems

    @property
    def first_folds(self) -> list[Fold]:
        """The scored folds from the first on, without a gap."""
        count = next((task.fold for task in self.tasks if task.fold not in self._folds), len(self.tasks))
        return [self._folds[number] for number in range(count)]

    def is_behind(self, leader: Scored) -> bool:
        """Whether it was worse than another after any number of first folds, as it would have ended if they had run one by one."""
        folds, by_loss = self.first_folds, settled_by_loss(leader, self._trial.settings)
        return any(is_behind(folds[:count], leader, by_loss=by_loss) for count in range(1, len(folds) + 1))

    def outcome(self) -> Scored | str:
        """The scores from all folds that have ended, or why it failed."""
        if self._problems:
            return self._problems[min(self._problems)]
        try:
            return self._trial.scored(
                self.candidate, [self._folds[number] for number in sorted(self._folds)], self.seconds
            )
        except ValueError as error:
            return f"{type(error).__name__}: {error}"

    @property
    def seconds(self) -> float:
        """Seconds of wall time of its folds together."""
        return sum(self._seconds.values())

    def shortfall(self, running: Mapping[Task, float], least: float) -> Shortfall:
        """The time that it would need, when the budget has ended it.

        `running` are the seconds that dropped tasks had run, `least` the most that a candidate before it needs.
        """
        count, done = len(self.tasks), [self._seconds[number] for number in self._folds]
        if done:
            seconds = count * sum(done) / len(done)
            return Shortfall(
                seconds, False, f"{len(done)} of {count} folds had ended, all need about {in_words(seconds)}."
            )
        if longest := max((seconds for task, seconds in running.items() if task in self.tasks), default=0.0):
            seconds = count * longest
            return Shortfall(
                seconds,
                True,
                f"no fold had ended after {in_words(longest)}, so all need more than {in_words(seconds)}.",
            )
        if candidates.has_known_place(self.candidate) and least:
            return Shortfall(
                least, True, f"it had not started, and usually takes longer than others that need {in_words(least)}."
            )
        return Shortfall(0.0, True, "it had not started, so its time is not known.")


def in_words(seconds: float) -> str:
    """Estimated seconds: `1,500 s`, `0.25 s`."""
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
