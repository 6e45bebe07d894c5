"""The comparison: cross-validates the candidates on the training rows, within a time budget, and finds the best.

The held-out rows take no part in it: they only judge the winner.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from retraind.daemon.core import logs, process_table
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import Train
from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema.hash_mixing import Prints
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import TunedParameters
from retraind.daemon.tabular.row_times import Moments
from retraind.daemon.training import losses
from retraind.daemon.training.progress import Progress
from retraind.daemon.training.selection import calibration, candidates, second_process
from retraind.daemon.training.selection.budget import Budget, BudgetUsed, alarm
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.cross_validation import Scored, Trial, settled_by_loss
from retraind.daemon.training.selection.sample import Sample

log = logs.Logger()


@dataclass(frozen=True)
class Outcome:
    """The candidates that finished, in the order of the settings, and the reasons why others did not, by name."""

    scored: list[Scored]
    left_out: dict[str, str]
    tuned: TunedParameters | None = None
    """The tuned parameters of the last one, as `retraind.daemon.training.selection.tuning` records them; None without tuning or
    a gain."""
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
    schema: Schema,
    examples: tuple[Matrix, Targets],
    settings: Train,
    progress: Progress,
    units: Prints | None = None,
    times: Moments | None = None,
    *,
    sample: Sample | None = None,
    in_two: bool = False,
) -> Outcome:
    """Cross-validate the candidates, cheap ones first; a candidate that can't be fitted to these rows is left out.

    Rows of one unit, `units` (n,), are in one fold; None: each row is its own. With `times` (n,) folds go forward in
    time. `sample`: the part of the training rows that `examples` are. `in_two`: a second process may take some of the candidates; the outcome is the same.

    When the budget is used up, unfinished candidates are left out as well, but at least one always finishes. Raises
    TrainingFailed if none could be fitted.
    """
    trial = Trial(schema, *examples, settings, progress, Budget(settings.budget_seconds), units, times, sample)
    results = _results(trial, candidates.by_cost(competing), in_two=in_two)
    scored = {name: result for name, result in results.items() if isinstance(result, Scored)}
    left_out = {name: result for name, result in results.items() if isinstance(result, str)}
    if not scored:
        problems = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise TrainingFailed(f"No candidate could be fitted. {problems[:800]}")
    finished = [scored[candidate.name] for candidate in competing if candidate.name in scored]
    return Outcome(finished, left_out, settles=_settles(settings, finished, forward=times is not None))


def _results(trial: Trial, ordered: Sequence[Candidate], *, in_two: bool) -> dict[str, Scored | str]:
    """Each candidate cross-validated, or why it is left out; one at least has all the time that it needs."""
    results: dict[str, Scored | str] = {}
    for place, candidate in enumerate(ordered):
        is_first, left = not any(isinstance(result, Scored) for result in results.values()), ordered[place:]
        if in_two and not is_first and second_process.is_worthwhile(trial.rows, len(left)):
            shared = second_process.share([partial(_attempt, trial, each, is_first=False) for each in left])
            return results | {each.name: result for each, result in zip(left, shared, strict=True)}
        results[candidate.name] = _attempt(trial, candidate, is_first=is_first)
    return results


def _attempt(trial: Trial, candidate: Candidate, *, is_first: bool) -> Scored | str:
    """The candidate cross-validated, or why it is left out; raises nothing that a fit may raise."""
    process_table.trim_memory()
    result: Scored | str = f"train.budget_seconds = {trial.settings.budget_seconds:g} was used up."
    try:
        with contextlib.suppress(BudgetUsed), alarm(math.inf if is_first else trial.budget.left):
            result = trial.of(candidate, whole=not is_first)
    except Exception as error:  # noqa: BLE001 - estimators raise what they like, for example at a column without a value
        result = f"{type(error).__name__}: {error}"[:300]
    if isinstance(result, str):
        log.warning("candidate_left_out", candidate=candidate.name, reason=result)
    elif trial.progress:
        trial.progress.note(result.sentence, result.fit_seconds)
    return result


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
