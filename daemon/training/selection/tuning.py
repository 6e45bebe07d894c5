"""Tuning: other parameters of the candidates that did best, tried within a time, so that the version is better than its defaults.

A random search. Candidates that are quickly fitted are tried first, since a few tries of each cost little and their defaults may
be far from their best; then the two best are, and the best so far is the middle of every second try. A try is given up at the first fold after which it is behind the best on the same folds, so most cost one fit. What was found is recorded with the version, is
the first try of the next training, and is all that `daemon.training.reproduction` needs: how many tries a time allows is the clock's affair.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from daemon.core import logs, process_table
from daemon.core.settings import Train
from daemon.schema.schema import Schema
from daemon.schema.scores import Scores, TunedParameters
from daemon.training.progress import Progress
from daemon.training.selection import candidates, comparison
from daemon.training.selection.budget import Budget, BudgetUsed, alarm
from daemon.training.selection.candidates import Candidate
from daemon.training.selection.comparison import Outcome
from daemon.training.selection.cross_validation import Overtaken, Scored, Trial
from daemon.training.selection.search_spaces import SPACES, Parameters

log = logs.Logger()

FAMILIES = 2
"""So many of the best candidates that can be tuned are, for most of the time."""

QUICK = 0.05
"""A candidate whose cross-validation takes no larger share of the time than this gets FIRST tries, however it ranks."""

FIRST = 8

MARGIN_TRIES = 4
"""Until so many tries nothing is known of where the best parameters lie: they are drawn from everywhere."""


@dataclass(frozen=True)
class Tuned:
    """What a version was tuned to, as its manifest has it among the scores: a candidate's name and its parameters."""

    candidate: str
    parameters: Parameters
    tried: int
    seconds: float
    encoded: bool = False
    """Whether it sees categories of many names as what they say of the target; not recorded if it does not."""

    @classmethod
    def of(cls, scores: Scores) -> "Tuned | None":
        """What stands in the scores of a manifest; None for a version that was not tuned."""
        tuned = scores.get("tuned")
        return None if tuned is None else cls(**tuned)

    def figures(self) -> TunedParameters:
        """The entry for a manifest."""
        figures: TunedParameters = {
            "candidate": self.candidate,
            "parameters": self.parameters,
            "tried": self.tried,
            "seconds": self.seconds,
        }
        return {**figures, "encoded": True} if self.encoded else figures

    def made(self, schema: Schema, settings: Train) -> Candidate:
        """The candidate with these parameters, not fitted; raises TrainingFailed for a parameter that there is no more."""
        return candidates.with_parameters(self.candidate, self.parameters, schema, settings, encoded=self.encoded)


def choose(tunable: Sequence[Candidate], trial: Trial, champion: Scores, progress: Progress) -> Outcome:
    """The candidates that the rows are enough for, compared, and the best ones tuned; `champion` are the served version's scores."""
    settings = trial.settings
    competing = candidates.worthwhile(tunable, len(trial.targets), settings)
    progress.candidates, examples = len(competing), (trial.rows, trial.targets)
    outcome = comparison.compare(competing, trial.schema, examples, settings, progress, trial.units, trial.times)
    return tune(outcome, trial, Tuned.of(champion), progress)


def tune(outcome: Outcome, trial: Trial, before: Tuned | None, progress: Progress) -> Outcome:
    """The outcome with the best parameters that were found, if they beat all that is in it; `before` is the champion's."""
    settings = trial.settings
    search = _Search(trial, outcome.ranking)
    if not settings.tune_seconds or not search.families:
        return outcome
    progress.stage(f"tuning {', '.join(search.families)}", progress.candidates + 1)
    if before is not None and _can_be_kept(before, trial):
        outcome = search.keep(before, outcome, progress)
    search.budget = Budget(settings.tune_seconds)
    try:
        with alarm(settings.tune_seconds):
            while search.budget.left > 0:
                search.step()
    except BudgetUsed:
        log.info("tuning_ended", tried=search.tried)
    return search.result(outcome, progress)


def _can_be_kept(before: Tuned, trial: Trial) -> bool:
    """Whether the champion's parameters may be tried: a kernel on many more rows would take memory without bounds."""
    if before.candidate == "kernel" and len(trial.targets) >= candidates.KERNEL_ROWS.stop:
        return False
    return before.candidate in trial.settings.candidates and before.candidate in SPACES


class _Search:
    """The search: what is best so far, and where it came from."""

    def __init__(self, trial: Trial, ranking: list[Scored]) -> None:
        self._trial, self._best = trial, ranking[0]
        self._random = np.random.default_rng(trial.settings.seed)
        self._chosen: Tuned | None = None
        self.budget, self.tried = Budget(trial.settings.tune_seconds), 0
        # Of each candidate the better way to see categories of many names is tuned: cross-validation has tried both.
        self._encoded: dict[str, bool] = {}
        quick: list[str] = []
        for scored in ranking:
            family = _family(scored)
            if family in SPACES and family not in self._encoded:
                quick += [family] * (scored.fit_seconds <= QUICK * trial.settings.tune_seconds)
            self._encoded.setdefault(family, candidates.is_encoded(scored.name))
        self._first = [
            each for tries in zip(*(self._spread(family) for family in quick), strict=True) for each in tries
        ]

    @property
    def families(self) -> list[str]:
        """The candidates that can be tuned, at most FAMILIES, that of the best so far first."""
        names = dict.fromkeys([_family(self._best), *self._encoded])
        return [name for name in names if name in SPACES][:FAMILIES]

    def keep(self, before: Tuned, outcome: Outcome, progress: Progress) -> Outcome:
        """Try the champion's parameters on all folds; the outcome says so if they are left out.

        What was found once is not to be lost, so however short `train.tune_seconds` are they get what each candidate may take of
        `train.budget_seconds`: more rows may have made them so slow that no training would ever end.
        """
        # The champion's candidate may have been left out of the comparison, by the budget or by the number of rows.
        self._encoded.setdefault(before.candidate, before.encoded)
        seconds = self._trial.settings.budget_seconds / (len(outcome.scored) + len(outcome.left_out))
        try:
            with alarm(seconds or math.inf):
                self.take(before.candidate, before.parameters, encoded=before.encoded, raced=False)
        except BudgetUsed:
            if self._chosen is None:  # it may have rung after the last fold
                name = before.made(self._trial.schema, self._trial.settings).name
                reason = f"With the champion's parameters it took more than its share of train.budget_seconds ({seconds:.3g} s)."
                progress.note(f"Tuning: {name} is left out. {reason}", seconds)
                log.warning("candidate_left_out", candidate=name, reason=reason)
                return replace(outcome, left_out=outcome.left_out | {name: reason})
        return outcome

    def step(self) -> None:
        """One try: first each quick candidate in turn, then near the best, or anywhere, of the best candidate twice as often as of the next."""
        if self._first:
            family, parameters = self._first.pop()
            self.take(family, parameters, encoded=self._encoded[family])
            return
        family = self.families[int(self._random.random() < 1 / 3) if len(self.families) > 1 else 0]
        near = self.tried >= MARGIN_TRIES and self.tried % 2 == 0 and self._chosen is not None
        if near and self._chosen is not None:
            middle = self._chosen
            self.take(middle.candidate, self._drawn(middle.candidate, middle.parameters), encoded=middle.encoded)
        else:
            self.take(family, self._drawn(family, None), encoded=self._encoded[family])

    def _spread(self, family: str) -> list[tuple[str, Parameters]]:
        """The first tries of a candidate, from all over the place of each parameter."""
        spread = {name: space.spread(FIRST, self._random) for name, space in SPACES[family].items()}
        tries = [{name: values[number] for name, values in spread.items()} for number in range(FIRST)]
        return [(family, parameters | self._gridded(family)) for parameters in tries]

    def _drawn(self, family: str, middle: Parameters | None) -> Parameters:
        """Parameters near `middle`, or from anywhere if it lacks them."""
        drawn = {
            name: space.near(middle[name], self._random) if middle and name in middle else space.draw(self._random)
            for name, space in SPACES[family].items()
        }
        return drawn | self._gridded(family)

    def _gridded(self, family: str) -> Parameters:
        """One value of each parameter that train.grids has values for."""
        grid = self._trial.settings.grids.get(family, {})
        return {name: values[int(self._random.integers(len(values)))] for name, values in grid.items()}

    def take(self, family: str, parameters: Parameters, *, encoded: bool, raced: bool = True) -> None:
        """Try these, and keep them if they are the best; on all folds unless `raced`."""
        self.tried += 1
        process_table.trim_memory()
        tried = Tuned(family, parameters, self.tried, 0.0, encoded)
        try:
            candidate = tried.made(self._trial.schema, self._trial.settings)
            scored = self._trial.of(candidate, whole=True, against=self._best if raced else None)
        except Overtaken:
            return
        except Exception as error:  # noqa: BLE001 - estimators raise what they like: these parameters are no good
            log.info("try_failed", candidate=family, parameters=parameters, reason=str(error)[:200])
            return
        if scored.rank < self._best.rank:
            self._best, self._chosen = scored, tried

    def result(self, outcome: Outcome, progress: Progress) -> Outcome:
        """The outcome with the best parameters; as it was if those of the candidates stand."""
        seconds = time.monotonic() - self.budget.started
        if self._chosen is None:
            progress.note(f"Tuning: none of {self.tried} tries was better.", seconds)
            return outcome
        progress.note(f"Tuning: the best of {self.tried} tries is {self._best.sentence}", seconds)
        tuned = replace(self._chosen, tried=self.tried, seconds=round(seconds, 3))
        return replace(outcome, scored=[*outcome.scored, self._best], tuned=tuned.figures())


def _family(scored: Scored) -> str:
    """The candidate's name without its parameters."""
    return scored.name.partition("(")[0]
