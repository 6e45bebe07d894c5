"""The comparison: cross-validates the candidates on the training rows, within a time budget, and finds the best.

The held-out rows take no part in it: they only judge the winner.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from retraind.daemon.core import logs
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import Train
from retraind.daemon.schema.scores import BudgetCut, TunedParameters
from retraind.daemon.training import losses
from retraind.daemon.training.selection import calibration, candidates
from retraind.daemon.training.selection.attempt import Attempt, in_words
from retraind.daemon.training.selection.budget import Budget
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.cross_validation import Scored, Trial, settled_by_loss
from retraind.daemon.training.selection.tasks import FEW_CELLS, Engine, OneByOne, Result

log = logs.Logger()

SURE = 2.0
"""How many times the expected seconds, as if one process ran all, the budget must have to count as enough."""


@dataclass(frozen=True)
class Cut:
    """The candidates that a budget of so many seconds has `cut`, and the seconds that each candidate needs (0: unknown)."""

    budget: float
    jobs: int
    needs: dict[str, float]
    cut: list[str]
    at_least: bool
    """Whether they may need more."""

    @property
    def used_up(self) -> str:
        """The beginning of each reason."""
        return f"train.budget_seconds = {self.budget:g} was used up"

    @property
    def sentence(self) -> str:
        """A sentence with the budget that would do for all."""
        seconds = sum(self.needs.values()) / self.jobs
        known = "more than " if self.at_least else "about "
        return (
            f"{self.used_up} before {', '.join(self.cut)} had finished: with {self.jobs} of train.jobs, all candidates need "
            f"{known}{in_words(seconds)}."
        )

    def figures(self) -> BudgetCut:
        """The entry for a manifest."""
        return {"sentence": self.sentence, "seconds": {name: round(self.needs[name], 3) for name in self.cut}}


@dataclass(frozen=True)
class Outcome:
    """The candidates that finished, in the order of the settings, and the reasons why others did not, by name."""

    scored: list[Scored]
    left_out: dict[str, str]
    tuned: TunedParameters | None = None
    """The tuned parameters of the last one, as `retraind.daemon.training.selection.tuning` records them; None without tuning or
    a gain."""
    cut: Cut | None = None
    """The candidates that `train.budget_seconds` has left out; None: none."""
    settles: Callable[[Scored], float] | None = None
    """The figure that chooses among candidates as good as the best, smaller is better; None: only their rank."""

    @property
    def ranking(self) -> list[Scored]:
        """Best first; among equals the order of the settings."""
        best, *others = ranked = sorted(self.scored, key=lambda one: one.rank)
        if self.settles is None:
            return ranked
        alike = [best, *(one for one in others if losses.within_error(one.by_fold, best.by_fold))]
        tied = {id(one) for one in alike}
        return [*sorted(alike, key=self.settles), *(one for one in others if id(one) not in tied)]


def compare(
    competing: Sequence[Candidate],
    trial: Trial,
    engine: Engine | None = None,
    expected: Mapping[str, float] | None = None,
) -> Outcome:
    """Cross-validate the candidates, cheap ones first; a candidate that can't be fitted to these rows is left out.

    The `engine` runs the folds; None: one after the other in this process. Several processes run long ones first if
    there is time for all by the `expected` seconds of candidates, so that none runs alone at the end. When `train.budget_seconds` are used up,
    unfinished candidates are left out as well, but at least one always gets scores, if only of some folds. Raises
    TrainingFailed if none could be fitted.
    """
    engine = engine or OneByOne(trial)
    scored, left_out, cut = Comparison(trial, candidates.by_cost(competing), engine, expected or {}).run()
    if not scored:
        problems = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise TrainingFailed(f"No candidate could be fitted. {problems[:800]}")
    finished = [scored[candidate.name] for candidate in competing if candidate.name in scored]
    settles = _settles(trial.settings, finished, forward=trial.times is not None)
    return Outcome(finished, left_out, settles=settles, cut=cut)


class Comparison:
    """A comparison in progress, of candidates in the order of their cost."""

    def __init__(
        self, trial: Trial, ordered: Sequence[Candidate], engine: Engine, expected: Mapping[str, float]
    ) -> None:
        self._trial, self._engine = trial, engine
        self._attempts = {candidate.name: Attempt(trial, candidate) for candidate in ordered}
        self._queued = list(self._attempts.values())
        """In the order in which they start."""
        if engine.jobs > 1 and trial.rows.size > FEW_CELLS and self._fits(expected):
            costs = {name: (expected.get(name, 0.0), place) for place, name in enumerate(self._attempts)}
            self._queued.sort(key=lambda attempt: costs[attempt.candidate.name], reverse=True)
        self._budget = Budget(trial.settings.budget_seconds)
        self._scored: dict[str, Scored] = {}
        self._left_out: dict[str, str] = {}
        self._cut: Cut | None = None

    def run(self) -> tuple[dict[str, Scored], dict[str, str], Cut | None]:
        """The scores of candidates by name, why others are left out, and what the budget has cut."""
        self._engine.add([task for attempt in self._queued for task in attempt.tasks])
        while self._unfinished:
            self._report()
            # One candidate has all the time that it needs.
            enough = any(attempt.usable for attempt in self._attempts.values())
            results = self._engine.wait(self._budget.left + self._engine.delay if enough else math.inf)
            if not results:
                self._end_early()
                break
            for result in results:
                self._take(result)
        return self._scored, self._left_out, self._cut

    def _fits(self, expected: Mapping[str, float]) -> bool:
        """Whether the budget is sure to have time for all, so that none is cut because of those before it."""
        budget = self._trial.settings.budget_seconds
        return not budget or (
            self._attempts.keys() <= expected.keys() and SURE * sum(expected[name] for name in self._attempts) <= budget
        )

    @property
    def _unfinished(self) -> list[Attempt]:
        return [attempt for attempt in self._attempts.values() if not attempt.finished]

    def _take(self, result: Result) -> None:
        attempt = self._attempts[result.task.candidate.name]
        self._engine.drop(attempt.take(result))
        if attempt.finished:
            self._note(attempt, attempt.outcome())

    def _note(self, attempt: Attempt, outcome: Scored | str) -> None:
        """Keep and report a candidate's scores, or why it is left out."""
        name = attempt.candidate.name
        if isinstance(outcome, str):
            self._left_out[name] = outcome
            log.warning("candidate_left_out", candidate=name, reason=outcome)
            return
        self._scored[name] = outcome
        self._trial.progress.note(outcome.sentence, outcome.fit_seconds)

    def _end_early(self) -> None:
        """Leave out the candidates that the budget has cut; if none has finished, one gets the scores of its finished folds."""
        unfinished = self._unfinished
        running = self._engine.drop([task for attempt in unfinished for task in attempt.open])
        needs: dict[str, float] = {}
        shortfalls = {}
        for name, attempt in self._attempts.items():
            if attempt.finished:
                needs[name] = attempt.seconds
            else:
                shortfalls[name] = attempt.shortfall(running, max(needs.values(), default=0.0))
                needs[name] = shortfalls[name].seconds
        at_least = any(short.at_least for short in shortfalls.values())
        self._cut = Cut(self._trial.settings.budget_seconds, self._engine.jobs, needs, list(shortfalls), at_least)
        if not self._scored:
            furthest = max((one for one in unfinished if one.usable), key=lambda one: -len(one.open))
            self._note(furthest, furthest.outcome())
        for name, short in shortfalls.items():
            self._cut_off(name, f"{self._cut.used_up}: {short.clause}")

    def _cut_off(self, name: str, reason: str) -> None:
        """Leave out a candidate, or say why only some of its folds count, and announce it."""
        if name in self._scored:
            self._trial.progress.announce(f"{name} has scores of some folds only. {reason}")
            return
        self._left_out[name] = reason
        log.warning("candidate_left_out", candidate=name, reason=reason)
        self._trial.progress.announce(f"{name} is left out. {reason}")

    def _report(self) -> None:
        """Report the first fold that has not ended, which is the one that runs if they run one by one."""
        number, attempt = next(
            (number, attempt) for number, attempt in enumerate(self._queued, 1) if not attempt.finished
        )
        folds = self._trial.folds.count
        left = sum(len(one.open) for one in self._unfinished)
        done = 1 - left / (folds * len(self._attempts))
        self._trial.progress.fold(attempt.candidate.name, number, attempt.open[0].fold + 1, folds, done)


def _settles(settings: Train, finished: Sequence[Scored], *, forward: bool) -> Callable[[Scored], float] | None:
    """The log loss, which decides among candidates with indistinguishable accuracy.

    It also uses the confidence of each answer.
    """
    if not settled_by_loss(finished[0], settings):
        return None
    return partial(served_loss, settings=settings, forward=forward)


def served_loss(scored: Scored, settings: Train, *, forward: bool) -> float:
    """The cross-validated log loss of a classifier, with the correction that it would be served with."""
    return corrected_loss(scored, correction_of(scored, settings, forward=forward))


def correction_of(scored: Scored, settings: Train, *, forward: bool) -> calibration.Correction | None:
    """The correction that a classifier would be served with; None if it would be served without."""
    if scored.task == "regression" or not settings.calibrate:
        return None
    return calibration.find(*scored.kept, settings.seed, forward=forward)


def corrected_loss(scored: Scored, correction: calibration.Correction | None) -> float:
    """The cross-validated log loss with a correction."""
    return scored.loss if correction is None else scored.loss * correction.after / correction.before
