"""An attempt: the folds of one candidate as they come in, in any order, until there are enough for its scores."""

import math
from collections.abc import Mapping

from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.cross_validation import Fold, Scored, Trial
from retraind.daemon.training.selection.tasks import Result, Task


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

    def need(self, running: Mapping[Task, float]) -> tuple[float, bool]:
        """Estimated seconds for all its folds one after the other, and whether they may need much more.

        `running` are the seconds that tasks had run when they were dropped. 0 if it has not started.
        """
        done = [self._seconds[number] for number in self._folds]
        if done:
            return len(self.tasks) * sum(done) / len(done), False
        longest = max((seconds for task, seconds in running.items() if task in self.tasks), default=0.0)
        return len(self.tasks) * longest, True
