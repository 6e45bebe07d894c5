"""The candidates: estimators that compete for each task, built in or named by import path, with their grids.

Nothing is fitted here; `retraind.daemon.training.selection.cross_validation` fits them.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from sklearn.base import is_classifier, is_regressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags

from retraind.daemon.core import logs
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import CANDIDATES, EXTRA, Train
from retraind.daemon.encoding import Encoding
from retraind.daemon.kernel import KernelClassifier, KernelRegressor
from retraind.daemon.model import (
    Design,
    LeastSquares,
    LeastSquaresClassifier,
    NativeBoostingClassifier,
    NativeBoostingRegressor,
)
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.training.selection import foreign

log = logs.Logger()

# A new name here needs its entry in CANDIDATES of daemon/core/settings/train.py, too: that is the default of `train.candidates`.
NAMES: dict[Task, tuple[str, ...]] = {
    "classification": (
        "logistic",
        "forest",
        "tree",
        "least_squares",
        "boosting",
        "shallow_boosting",
        "extra_trees",
        "kernel",
    ),
    "regression": ("linear", "ridge", "forest", "tree", "boosting", "shallow_boosting", "extra_trees", "kernel"),
}

CHEAP_FIRST = (
    "least_squares",
    "linear",
    "ridge",
    "logistic",
    "tree",
    "kernel",
    "extra_trees",
    "boosting",
    "shallow_boosting",
    "forest",
)
"""The order in which candidates are tried, so that a budget allows as many as possible; foreign ones come last."""

LATE = frozenset({"shallow_boosting", "extra_trees", *EXTRA})
LATE_ROWS = 600
"""Minimum training rows for the candidates in LATE, unless the settings name the candidates: with fewer rows they take
longer than all others together, and cross-validation can't distinguish them from those."""

KERNEL_ROWS = range(200, 20_001)
"""Minimum and maximum rows for `kernel`: with fewer it gains nothing, with more its fit takes seconds and 12 KB per
row."""

SHALLOW = {"learning_rate": 0.05, "max_iter": 300, "max_leaf_nodes": 8, "min_samples_leaf": 10, "early_stopping": False}
"""Many small trees in small steps: in cross-validation better than the defaults on noisy, smooth and wide data alike.
"""

MOST_CODES = 254
"""Maximum categories of a column that is split by sets; codes of larger columns count as numbers."""


MANY = 20
"""Minimum names of a category for a second try with target encoding; the winner in cross-validation is used."""

ENCODABLE = frozenset({"logistic", "ridge", "forest", "boosting"})

ENCODED = "encoded categories"
"""Suffix of such a candidate's name."""


@dataclass(frozen=True, eq=False)  # estimators of other packages may not be comparable
class Candidate:
    """One competitor: a unique name, and its unfitted estimator. Equal to itself only."""

    name: str
    estimator: Any


def plan(schema: Schema, settings: Train) -> list[Candidate]:
    """Every candidate of the settings that can do the schema's task, once for each combination of its grid.

    Raises TrainingFailed for a class that can't be imported, a parameter that does not exist, and if none is left.
    """
    candidates = [one for name in settings.candidates for one in _combinations(name, schema, settings)]
    if settings.candidates == list(CANDIDATES):
        candidates += _of_extra(schema, settings)
    if not candidates:
        raise TrainingFailed(
            f"No candidate of train.candidates can do {schema.task}.",
            hint=f"Name some of {', '.join(NAMES[schema.task])}.",
        )
    return candidates


def _of_extra(schema: Schema, settings: Train) -> Iterator[Candidate]:
    """The installed and usable ones. No setting names them, so an import error fails no training."""
    for name in foreign.installed():
        try:
            yield from _combinations(name, schema, settings)
        except TrainingFailed as error:
            log.warning("candidate_left_out", candidate=name, reason=str(error))


def by_cost(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same candidates, quickly fitted ones first."""
    places = {name: place for place, name in enumerate(CHEAP_FIRST)}
    return sorted(candidates, key=lambda one: places.get(one.name.partition("(")[0], len(places)))


def has_known_place(candidate: Candidate) -> bool:
    """Whether it is known to take longer than those before it: one of another package may take any time."""
    return candidate.name.partition("(")[0] in CHEAP_FIRST


def worthwhile(candidates: Sequence[Candidate], rows: int, settings: Train) -> list[Candidate]:
    """The candidates that suit this many rows; all of them if the settings name the candidates."""
    if settings.candidates != list(CANDIDATES):
        return list(candidates)
    unsuited = {*(LATE if rows < LATE_ROWS else ()), *(() if rows in KERNEL_ROWS else ("kernel",))}
    return [one for one in candidates if one.name.partition("(")[0] not in unsuited] or list(candidates)


def build(name: str, schema: Schema, seed: int, encoded: Sequence[int] = ()) -> Any:
    """An unfitted candidate of the schema's task by its name; raises KeyError for an unknown one.

    `encoded` are the positions of categories that it gets as mean targets instead of codes.
    """
    sizes = _sizes(schema, encoded)
    native = {"categorical_features": [place for place, size in enumerate(sizes) if 0 < size <= MOST_CODES]}

    def linear(estimator: Any) -> Any:
        return make_pipeline(Design(sizes), estimator)

    classifiers: dict[str, Callable[[], Any]] = {
        # C=10: after standardising, the default penalty underfits small, well separated data (Iris: 0.953 to 0.967).
        "logistic": lambda: linear(LogisticRegression(C=10.0, max_iter=1000)),
        "forest": lambda: RandomForestClassifier(n_estimators=100, random_state=seed),
        "tree": lambda: DecisionTreeClassifier(max_depth=8, random_state=seed),
        "least_squares": lambda: linear(LeastSquaresClassifier()),
        "boosting": lambda: HistGradientBoostingClassifier(early_stopping=False, random_state=seed),
        "shallow_boosting": lambda: NativeBoostingClassifier(**SHALLOW, **native, random_state=seed),
        "extra_trees": lambda: ExtraTreesClassifier(n_estimators=100, random_state=seed),
        "kernel": lambda: linear(KernelClassifier(random_state=seed)),
    }
    regressors: dict[str, Callable[[], Any]] = {
        "linear": lambda: linear(LeastSquares()),
        "ridge": lambda: linear(Ridge(alpha=1.0, copy_X=False)),
        "forest": lambda: RandomForestRegressor(n_estimators=100, random_state=seed),
        "tree": lambda: DecisionTreeRegressor(max_depth=8, random_state=seed),
        "boosting": lambda: HistGradientBoostingRegressor(early_stopping=False, random_state=seed),
        "shallow_boosting": lambda: NativeBoostingRegressor(**SHALLOW, **native, random_state=seed),
        "extra_trees": lambda: ExtraTreesRegressor(n_estimators=100, random_state=seed),
        "kernel": lambda: linear(KernelRegressor(random_state=seed)),
    }
    return _behind_encoding((regressors if schema.task == "regression" else classifiers)[name](), schema, encoded)


def _encoding(schema: Schema, encoded: Sequence[int]) -> Encoding:
    """The target encoding of texts and of these categories."""
    sizes = [len(schema.columns[place].categories) for place in encoded]
    return Encoding(len(schema.columns), schema.texts, list(encoded), sizes, len(schema.classes))


def _behind_encoding(estimator: Any, schema: Schema, encoded: Sequence[int]) -> Any:
    """The estimator, after an encoding if there is anything to encode."""
    if not schema.texts and not encoded:
        return estimator
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    return make_pipeline(_encoding(schema, encoded), *steps)


def _sizes(schema: Schema, encoded: Sequence[int]) -> list[int]:
    """The number of codes of each column after the encoding, 0 for a number."""
    sizes = [len(column.categories) for place, column in enumerate(schema.columns) if place not in encoded]
    made = len(schema.texts) + len(encoded)
    return sizes + [0] * (made * _encoding(schema, encoded).outputs if made else 0)


def core(estimator: Any) -> Any:
    """The estimator after a candidate's design matrix or encoding; its parameters are searched."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def is_encoded(name: str) -> bool:
    """Whether a candidate of this name gets categories with many names target-encoded."""
    return name.endswith(f"{ENCODED})")


def with_parameters(
    name: str, parameters: Mapping[str, Any], schema: Schema, settings: Train, *, encoded: bool = False
) -> Candidate:
    """A candidate with these parameters, `encoded` if there is anything to encode.

    Raises TrainingFailed for an unknown parameter or if it can't do the schema's task.
    """
    grid = {name: {key: [value] for key, value in parameters.items()}}
    combinations = list(_combinations(name, schema, settings.model_copy(update={"grids": grid})))
    if not combinations:
        raise TrainingFailed(f"{name} is not a candidate for {schema.task}.")
    return next((one for one in combinations if is_encoded(one.name) == encoded), combinations[0])


def _combinations(name: str, schema: Schema, settings: Train) -> Iterator[Candidate]:
    if not foreign.is_foreign(name) and name not in NAMES[schema.task]:
        return
    grid = settings.grids.get(name, {})
    for choice, encoded in product(ParameterGrid(grid), _encoded(name, schema)):
        estimator = (
            _imported(name, schema, settings.seed)
            if foreign.is_foreign(name)
            else build(name, schema, settings.seed, encoded)
        )
        if not (is_regressor(estimator) if schema.task == "regression" else is_classifier(estimator)):
            return
        inner = core(estimator)
        balanced = settings.class_weight == "balanced" and "class_weight" in inner.get_params()
        _check(name, choice, inner)
        inner.set_params(**{**({"class_weight": "balanced"} if balanced else {}), **choice})
        chosen = ", ".join([*(f"{key}={value}" for key, value in choice.items()), *[ENCODED] * bool(encoded)])
        yield Candidate(f"{name}({chosen})" if chosen else name, estimator)


def _encoded(name: str, schema: Schema) -> list[list[int]]:
    """The sets of categories that a candidate gets encoded: none, and those with many names, if any."""
    many = [place for place, column in enumerate(schema.columns) if len(column.categories) >= MANY]
    return [[], many] if many and name in ENCODABLE else [[]]


def _check(name: str, choice: Mapping[str, Any], estimator: Any) -> None:
    parameters = estimator.get_params()
    for key in choice:
        if key not in parameters:
            close = difflib.get_close_matches(key, parameters, n=1, cutoff=0.4)
            hint = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(parameters)}."
            raise TrainingFailed(f"train.grids: {name} has no parameter {key!r}.", hint=hint)


def _imported(path: str, schema: Schema, seed: int) -> Any:
    """An estimator of another package, after Design if it accepts no missing values; raises TrainingFailed."""
    estimator = foreign.imported(path, schema.task, seed)
    behind = (
        estimator if get_tags(estimator).input_tags.allow_nan else make_pipeline(Design(_sizes(schema, ())), estimator)
    )
    return _behind_encoding(behind, schema, ())
