"""Tuning: other parameters of the candidates that did best, tried within a time, and a blend of what came out best.

What was found is recorded with the version, is the first try of the next training, and is all that
`daemon.training.reproduction` needs: how many tries a time allows is the clock's affair.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from daemon.core import logs
from daemon.schema.scores import Scores
from daemon.training.progress import Progress
from daemon.training.selection import candidates, comparison
from daemon.training.selection.budget import Budget, BudgetUsed, alarm
from daemon.training.selection.candidates import Candidate
from daemon.training.selection.comparison import Outcome
from daemon.training.selection.cross_validation import Trial
from daemon.training.selection.search import Search
from daemon.training.selection.tuned import Tuned

log = logs.Logger()


def choose(tunable: Sequence[Candidate], trial: Trial, champion: Scores, progress: Progress) -> Outcome:
    """The candidates that the rows are enough for, compared, and the best ones tuned; `champion` are the served version's scores."""
    settings = trial.settings
    competing = candidates.worthwhile(tunable, len(trial.targets), settings)
    progress.candidates, examples = len(competing), (trial.rows, trial.targets)
    outcome = comparison.compare(competing, trial.schema, examples, settings, progress, trial.units, trial.times)
    return tune(outcome, trial, Tuned.of(champion), progress)


def tune(outcome: Outcome, trial: Trial, before: Tuned | None, progress: Progress) -> Outcome:
    """The outcome with the best parameters that were found, if they beat all that is in it; `before` is the champion's."""
    if not trial.settings.tune_seconds:
        return outcome
    search = Search(trial, outcome.ranking)
    if not search.families:
        return outcome
    progress.stage(f"tuning {', '.join(search.families)}", progress.candidates + 1)
    if before is not None and _can_be_kept(before, trial):
        outcome = _with_champions(search, before, outcome, progress)
    search.budget = Budget(trial.settings.tune_seconds)
    _explore(search)
    return search.result(outcome, progress)


def _explore(search: Search) -> None:
    """Try until the time is used; what a blend of the best needs of it is kept for that."""
    try:
        while (spare := search.spare) > 0:
            with alarm(spare):
                search.step()
    except BudgetUsed:
        log.info("tuning_ended", tried=search.tried)
    try:
        with alarm(search.budget.left):
            search.blend()
    except BudgetUsed:
        log.info("blend_left_out", tried=search.tried)


def _can_be_kept(before: Tuned, trial: Trial) -> bool:
    """Whether the champion's parameters may be tried: a kernel on many more rows would take memory without bounds."""
    many = len(trial.targets) >= candidates.KERNEL_ROWS.stop
    return all(
        each.candidate in trial.settings.candidates
        and each.candidate in candidates.NAMES[trial.schema.task]
        and not (many and each.candidate == "kernel")
        for each in [member.tuned for member in before.members] or [before]
    )


def _with_champions(search: Search, before: Tuned, outcome: Outcome, progress: Progress) -> Outcome:
    """Try the champion's parameters on all folds; the outcome says so if they are left out.

    What was found once is not to be lost, so however short `train.tune_seconds` are they get what each candidate may take of
    `train.budget_seconds`: more rows may have made them so slow that no training would ever end.
    """
    settings, tries = search.trial.settings, 1 + len(before.members)
    seconds = tries * settings.budget_seconds / (len(outcome.scored) + len(outcome.left_out))
    try:
        with alarm(seconds or math.inf):
            search.keep(before)
    except BudgetUsed:
        if not search.kept:  # it may have rung after the last fold
            name = before.title(search.trial.schema, settings)
            reason = (
                f"With the champion's parameters it took more than its share of train.budget_seconds ({seconds:.3g} s)."
            )
            progress.note(f"Tuning: {name} is left out. {reason}", seconds)
            log.warning("candidate_left_out", candidate=name, reason=reason)
            return replace(outcome, left_out=outcome.left_out | {name: reason})
    return outcome
