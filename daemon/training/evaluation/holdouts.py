"""The holdouts: challenger and champion answer the same rows, which neither was trained on.

The reference holdout never grows, so its score compares versions over time; the rolling one is all held-out rows.
"""

import math
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from retraind.daemon import model
from retraind.daemon.artifacts.bundle import Manifest, Model
from retraind.daemon.core.settings import Train
from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema.costs import named
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.score_names import BOUND
from retraind.daemon.schema.scores import (
    HOLDOUTS,
    DummyScore,
    Holdout,
    Pair,
    Paired,
    Score,
    Scored,
    ScoredDummy,
    Scores,
    Split,
    TrainingRows,
)
from retraind.daemon.training import losses
from retraind.daemon.training.data import split
from retraind.daemon.training.data.holdout_assignment import PastAssignment
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.data.split import By
from retraind.daemon.training.evaluation import baseline_comparison
from retraind.daemon.training.evaluation.baseline_comparison import Kept, Rules
from retraind.daemon.training.evaluation.reference_answers import Remembered, compare_answers
from retraind.daemon.training.metrics import dummy_answers, score

RESAMPLES = 1000
"""Bootstrap resamples of one interval."""

GROUPS = 1000
"""With more rows than this, this many groups of equal size are resampled: the mean of the groups' means is the rows'
mean."""


Parts = dict[Holdout, NDArray[np.bool_]]
"""Mask of the held-out rows (n,) that belong to a holdout."""


class Compared(NamedTuple):
    """Entries of a manifest's scores, the answers to remember for later comparisons, and those for the held-out rows."""

    scores: Scores
    answered: Remembered
    answers: Matrix
    """(m, classes) or (m, 1)."""


def compare(
    fitted: Any, served: Model | None, data: Data, kept: Kept | None = None, rules: Rules | None = None
) -> Compared:
    """Scores: `challenger`, `champion`, `dummy` (each by holdout), `paired`, `marks`, `taught`, `split`, `fair`.

    `metric_named` if `auto` chose the metric. `champion` and `paired` are None without a comparable served version
    (another target, task or columns). If the served version was trained on some of the held-out rows, they only use the
    others, and `fair` has the challenger's scores on those. `kept` are the challenger's cross-validation answers for
    its training rows.
    """
    rules = rules or Rules()
    new = answers_of(fitted, data)
    old = None if served is None else answers_of_served(served, data)
    every, fair = judging_parts(data), judging_parts(data, fair=True)
    same = old is None or all((every[name] == fair[name]).all() for name in every)
    answered = baseline_comparison.remember(new, data, every["reference"], kept)
    scores: Scores = {
        "challenger": _on_holdouts(new, data, every, rules),
        "champion": None if old is None else _on_holdouts(old, data, fair, rules),
        "paired": None if old is None else {"holdout": _paired(new, old, data, fair, rules)},
        "marks": baseline_comparison.against(answered, data.schema.task, rules),
        "dummy": _dummy(data, every, rules),
        "taught": _training_rows(data),
        "split": _split(data, every),
    }
    if not same:
        scores["fair"] = _on_holdouts(new, data, fair, rules)
    if not rules.named:
        scores["metric_named"] = False
    return Compared(scores, answered, new)


def _dummy(data: Data, parts: Parts, rules: Rules) -> ScoredDummy:
    """By holdout, the score of a constant answer: the training rows' commonest class, cheapest class, or mean."""
    targets, schema = data.training_targets, data.schema
    guesses = dummy_answers(targets, int(data.held.sum()), schema)
    always = schema.classes[int(named(dummy_answers(targets, 1, schema), rules.costs)[0])] if schema.classes else None
    scored = _on_holdouts(guesses, data, parts, rules)
    return {"reference": _dummy_score(scored["reference"], always), "rolling": _dummy_score(scored["rolling"], always)}


def _dummy_score(score: Score, answer: str | None) -> DummyScore:
    """The stored figures of a dummy, and its answer."""
    dummy: DummyScore = {**score, "answer": answer}
    dummy.pop("metric", None)
    dummy.pop("recall", None)
    dummy.pop("support", None)
    dummy.pop("confusion", None)
    dummy.pop("costs", None)
    return dummy


def _training_rows(data: Data) -> TrainingRows:
    """The number of training rows, in all and of each class."""
    targets, classes = data.training_targets, data.schema.classes
    counts = np.bincount(targets, minlength=len(classes)) if classes else ()
    return {"n": len(targets), "support": {name: int(n) for name, n in zip(classes, counts, strict=True)}}


def answers_of(fitted: Any, data: Data) -> Matrix:
    """A fitted estimator's answers for the held-out rows, in their order."""
    if not data.held.any():
        return np.zeros((0, len(data.schema.classes) or 1))
    return data.answer(lambda rows: model.answers(fitted, rows, data.schema))


def answers_of_served(served: Model, data: Data) -> Matrix | None:
    """A served version's answers for them; None if it can't answer them (another target, task or columns)."""
    theirs, schema = served.manifest.data_schema, data.schema
    if not comparable(theirs, schema):
        return None
    if not data.held.any():
        return np.zeros((0, len(schema.classes) or 1))
    return _realign(data.answer(served.answers, theirs), theirs, schema)


def assignment_of(manifest: Manifest, schema: Schema) -> PastAssignment | None:
    """The assignment of a version's training rows; None if the version can't be compared anyway."""
    if not comparable(manifest.data_schema, schema):
        return None
    created = datetime.fromisoformat(manifest.created).timestamp() * 1000
    settings = Train(**manifest.settings)
    since = (manifest.scores.get("split") or {}).get("since")
    chosen = settings.holdout, created, settings.group, settings.time, since
    return PastAssignment(manifest.data_schema, units_of(manifest), *chosen)


def units_of(manifest: Manifest) -> By:
    """The rule for units when a version was trained."""
    return By((manifest.scores.get("split") or {}).get("by", By.PLACE))


def comparable(theirs: Schema, schema: Schema) -> bool:
    """Whether a model of `theirs` can answer rows of `schema`: it may have gained columns, categories and classes since."""
    same = (theirs.task, theirs.target) == (schema.task, schema.target)
    return same and set(theirs.features) <= set(schema.features)


def _realign(answers: Matrix, theirs: Schema, schema: Schema) -> Matrix:
    """Probabilities (n, classes of `theirs`) as (n, classes of `schema`), by name; zero for unknown classes."""
    if theirs.classes == schema.classes:
        return answers
    spread = np.zeros((len(answers), len(schema.classes)))
    for name in theirs.class_codes.keys() & schema.class_codes.keys():
        spread[:, schema.class_codes[name]] = answers[:, theirs.class_codes[name]]
    return spread


def judging_parts(data: Data, *, fair: bool = False) -> Parts:
    """The masks of the held-out rows (m,) for each holdout, without copies.

    `fair`: only rows that the served version was not trained on.
    """
    held = data.held
    parts: Parts = {"reference": data.reference[held], "rolling": data.rolling[held]}
    chosen = data.fair[held] if fair else np.ones(int(held.sum()), dtype=bool)
    # Copies would make a difference look more certain than it is.
    copies = data.copies[held]
    truth = data.targets[held].astype(np.float64)
    return {name: split.without_copies(copies, truth, part & chosen) for name, part in parts.items()}


def _split(data: Data, parts: Parts) -> Split:
    """The rule for units, a digest of each holdout's rows, and with `train.time` the time `since` which rows judge."""
    units, truth = data.copies[data.held], data.targets[data.held].astype(np.float64)
    reference, rolling = (split.digest(units[parts[name]], truth[parts[name]]) for name in HOLDOUTS)
    chosen: Split = {"by": data.by.value, "reference": reference, "rolling": rolling}
    if data.time:
        chosen["since"] = data.since
    return chosen


def _on_holdouts(answers: Matrix, data: Data, parts: Parts, rules: Rules) -> Scored:
    truth = data.targets[data.held]
    reference, rolling = (
        score(answers[parts[name]], truth[parts[name]], data.schema, rules.metric, rules.costs) for name in HOLDOUTS
    )
    return {"reference": reference, "rolling": rolling}


def _paired(new: Matrix, old: Matrix, data: Data, parts: Parts, rules: Rules) -> Paired:
    reference, rolling = (_pair(new, old, data, parts[name], rules) for name in HOLDOUTS)
    return {"reference": reference, "rolling": rolling}


def _pair(new: Matrix, old: Matrix, data: Data, part: NDArray[np.bool_], rules: Rules) -> Pair:
    """The evidence for a difference on one part of the held-out rows."""
    truth, metric = data.targets[data.held][part], rules.judged_by(data.schema.task)
    new, old = new[part], old[part]
    worse = compare_answers(new, old, truth, metric, rules.costs).facts()
    if data.schema.task == "regression":
        return {**rmse_difference(new[:, 0] - truth, old[:, 0] - truth), "worse": worse}
    now, before = named(new, rules.costs), named(old, rules.costs)
    classes = _by_class(now, before, truth, data.schema)
    return {**mcnemar(now == truth, before == truth), "worse": worse, "classes": classes}


def _by_class(now: Targets, before: Targets, truth: Targets, schema: Schema) -> dict[str, float]:
    """The minimum fall of recall against the champion (one-sided, 95 %), for each class with a fall."""
    falls = {}
    for code, name in enumerate(schema.classes):
        rows = truth == code
        fall = losses.compare((now[rows] != code).astype(np.float64), (before[rows] != code).astype(np.float64))
        if fall.loss > 0:
            falls[name] = fall.loss - BOUND * fall.error
    return falls


def mcnemar(challenger: NDArray[np.bool_], champion: NDArray[np.bool_]) -> Pair:
    """Whether one model is right more often than the other on the same rows, (n,) each.

    It is McNemar's test (1947, exact, two-sided). `only_champion` and `only_challenger` count the rows that only one
    has right; `p` is the probability that chance alone splits these rows at least as unevenly.
    """
    lost, won = int((champion & ~challenger).sum()), int((challenger & ~champion).sum())
    p = float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0
    return {"n": len(champion), "only_champion": lost, "only_challenger": won, "p": p}


def rmse_difference(challenger: NDArray[np.float64], champion: NDArray[np.float64]) -> Pair:
    """RMSE of the challenger less that of the champion, from their errors (n,) on the same rows, in the target's unit.

    `low` and `high` are the ends of its 95 % percentile bootstrap interval (Efron, 1979), seeded; None without rows, or
    if the squares of errors are too large.
    """
    n = len(challenger)
    if n == 0:
        return {"n": 0, "difference": None, "low": None, "high": None}
    random = np.random.default_rng(0)
    order = random.permutation(n)[: n // GROUPS * GROUPS or n]
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.stack([challenger[order] ** 2, champion[order] ** 2]).reshape(2, min(n, GROUPS), -1).mean(axis=2)
        drawn = random.integers(squares.shape[1], size=(RESAMPLES, squares.shape[1]))
        means = np.sqrt([each[drawn].mean(axis=1) for each in squares])
        low, high = np.percentile(means[0] - means[1], [2.5, 97.5])
        difference = np.sqrt(np.mean(challenger**2)) - np.sqrt(np.mean(champion**2))
    return {"n": n, "difference": _finite(difference), "low": _finite(low), "high": _finite(high)}


def _finite(amount: np.float64) -> float | None:
    return float(amount) if math.isfinite(amount) else None
