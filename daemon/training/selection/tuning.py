"""Tuning: tries other parameters of the best candidates within a time limit, and a blend of the best results.

The result is recorded with the version, and the next training tries it first. `retraind.daemon.training.reproduction` needs only
this record, because the number of tries within the limit depends on the clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from retraind.daemon.core import logs
from retraind.daemon.schema.scores import Scores
from retraind.daemon.training.selection import candidates, comparison
from retraind.daemon.training.selection.budget import Budget, BudgetUsed
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.comparison import Outcome
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.search import Search
from retraind.daemon.training.selection.tasks import Engine, OneByOne
from retraind.daemon.training.selection.tuned import Tuned

log = logs.Logger()


def choose(
    tunable: Sequence[Candidate],
    trial: Trial,
    champion: Scores,
    engine: Engine | None = None,
    expected: Mapping[str, float] | None = None,
) -> Outcome:
    """Compare the candidates that suit this many rows, and tune the best; `champion` are the served version's scores.

    The `engine` fits them; None: in this process. The outcome is the same. `expected` are the seconds of candidates.
    """
    competing = candidates.worthwhile(tunable, trial.training_rows, trial.settings)
    trial.progress.candidates = len(competing)
    engine = engine or OneByOne(trial)
    return tune(comparison.compare(competing, trial, engine, expected), trial, Tuned.of(champion), engine)


def tune(outcome: Outcome, trial: Trial, before: Tuned | None, engine: Engine | None = None) -> Outcome:
    """The outcome with better parameters, if any beat all those in it; `before` are the champion's."""
    if not trial.settings.tune_seconds:
        return outcome
    search = Search(trial, outcome.ranking, engine)
    if not search.families:
        return outcome
    trial.progress.stage(f"tuning {', '.join(search.families)}", trial.progress.candidates + 1)
    if before is not None and _can_be_kept(before, trial):
        outcome = _with_champions(search, before, outcome)
    search.budget = Budget(trial.settings.tune_seconds)
    _explore(search)
    return search.result(outcome)


def _explore(search: Search) -> None:
    """Try until the time is used up, except for the time that a blend of the best needs."""
    try:
        while (spare := search.spare) > 0:
            search.limit = Budget(spare)
            search.step()
    except BudgetUsed:
        log.info("tuning_ended", tried=search.tried)
    try:
        search.limit = search.budget
        search.blend()
    except BudgetUsed:
        log.info("blend_left_out", tried=search.tried)


def _can_be_kept(before: Tuned, trial: Trial) -> bool:
    """Whether the champion's parameters may be tried, because a kernel on many more rows would need unbounded memory."""
    many = trial.training_rows >= candidates.KERNEL_ROWS.stop
    return all(
        each.candidate in trial.settings.candidates
        and each.candidate in candidates.NAMES[trial.schema.task]
        and not (many and each.candidate == "kernel")
        for each in [member.tuned for member in before.members] or [before]
    )


def _with_champions(search: Search, before: Tuned, outcome: Outcome) -> Outcome:
    """Try the champion's parameters on all folds; the outcome says if they are left out.

    A good result must not be lost, so even with a short `train.tune_seconds` they get a candidate's share of
    `train.budget_seconds`. They get no more, because many more rows could make them so slow that no training would ever
    end.
    """
    settings, tries = search.trial.settings, 1 + len(before.members)
    seconds = tries * settings.budget_seconds / (len(outcome.scored) + len(outcome.left_out))
    try:
        search.limit = Budget(seconds)
        search.keep(before)
    except BudgetUsed:
        name = before.title(search.trial.schema, settings)
        reason = (
            f"With the champion's parameters it took more than its share of train.budget_seconds ({seconds:.3g} s)."
        )
        search.trial.progress.note(f"Tuning: {name} is left out. {reason}", seconds)
        log.warning("candidate_left_out", candidate=name, reason=reason)
        return replace(outcome, left_out=outcome.left_out | {name: reason})
    return outcome
