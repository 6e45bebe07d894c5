"""retraind.daemon.training.selection.tuning, retraind.daemon.training.selection.search_spaces: better parameters within a time, and what was found is kept."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from test_encoding import LETTERS, TOWNS
from test_model import MIXED, PRICES, mixed, priced

from retraind.daemon.core.settings import Train
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import TunedParameters
from retraind.daemon.training.selection import candidates, comparison, search, tuning
from retraind.daemon.training.selection.comparison import Outcome
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.search import Search
from retraind.daemon.training.selection.search_spaces import SPACES, Draws, Range
from retraind.daemon.training.selection.tasks import OneByOne, Result
from retraind.daemon.training.selection.tuned import Tuned


def compared(**settings: Any) -> tuple[Outcome, Trial]:
    """Candidates on noise that only a strong penalty helps against, and what they are tried on."""
    random = np.random.default_rng(0)
    matrix = np.column_stack([priced(60)[0][:, :3], random.normal(size=(60, 3))])
    train = Train(candidates=["linear", "ridge"], blend=False, **settings)
    examples = matrix, random.normal(size=60)
    outcome = comparison.compare(candidates.plan(PRICES, train), Trial(PRICES, *examples, train))
    return outcome, Trial(PRICES, *examples, train)


def tuned_within(attempt: Callable[[float], Outcome], tries: int) -> TunedParameters:
    """What tuning gives where the time (s) is enough for so many tries: on a busy machine half a second may not be."""
    for seconds in (0.5, 4.0, 20.0):
        result = attempt(seconds).tuned
        if result is not None and result["tried"] >= tries:
            return result
    raise AssertionError(f"fewer than {tries} tries in {seconds} s: {result}")


@pytest.mark.parametrize("name", SPACES)
def test_spaces_hold_parameters_of_their_candidates(name: str) -> None:
    """Whatever is drawn, or lies near it, can be set, and is within the bounds."""
    schema = PRICES if name == "ridge" else MIXED
    random = np.random.default_rng(1)
    for _ in range(20):
        drawn = {key: one.draw(random) for key, one in SPACES[name].items()}
        near = {key: one.near(drawn[key], random) for key, one in SPACES[name].items()}
        for parameters in (drawn, near):
            made = candidates.with_parameters(name, parameters, schema, Train())
            assert all(f"{key}={value}" in made.name for key, value in parameters.items())
            for key, space in SPACES[name].items():
                inside = (
                    space.low <= parameters[key] <= space.high
                    if isinstance(space, Range)
                    else parameters[key] in space.values
                )
                assert inside, (key, parameters[key])


def test_better_parameters_win_and_are_recorded() -> None:
    """The best try stands last among the candidates, and the record makes the same candidate."""
    outcome, trial = compared(tune_seconds=1.0)
    result = tuning.tune(outcome, trial, None)
    assert result.tuned is not None
    assert result.scored[:-1] == outcome.scored
    assert result.ranking[0] is result.scored[-1]
    tuned = Tuned(**result.tuned)
    assert tuned.candidate == "ridge"
    assert tuned.tried > 1
    again = trial.of(tuned.made(PRICES, trial.settings))
    assert (again.name, again.by_fold) == (result.scored[-1].name, result.scored[-1].by_fold)


def test_quick_candidate_is_tuned_however_it_ranks() -> None:
    """Its defaults may be far from its best: forty columns of noise need a strong penalty, and without it trees come first."""
    random = np.random.default_rng(2)
    rows = random.normal(size=(150, 40))
    codes = (rows[:, :4].sum(axis=1) + random.normal(0, 1, 150) > 0).astype(np.int64)
    schema = Schema(target="t", classes=["a", "b"], columns=[Column(name=f"c{i}", kind="number") for i in range(40)])
    few = {"n_estimators": [20]}
    train = Train(
        candidates=["logistic", "forest", "extra_trees"],
        grids={"forest": few, "extra_trees": few},
        folds=3,
        metric="log_loss",
    )
    examples = rows, codes
    outcome = comparison.compare(candidates.plan(schema, train), Trial(schema, *examples, train))
    assert max(outcome.scored, key=lambda one: one.rank).name == "logistic"
    tries = Search(Trial(schema, *examples, train.model_copy(update={"tune_seconds": 1000})), outcome.ranking)
    for _ in range(3 * search.FIRST):
        tries.step()
    leader, first = tries.leaders.of["logistic"], next(one for one in outcome.scored if one.name == "logistic")
    assert leader.tuned is not None
    assert leader.parameters["C"] != first.estimator[-1].C
    assert leader.scored.loss < 0.8 * first.loss


def test_parameters_of_the_champion_are_tried_however_short_the_time() -> None:
    """A nightly training loses nothing that an earlier one has found; what is worse than the defaults does not stay."""
    outcome, trial = compared(tune_seconds=1e-9)
    assert tuning.tune(outcome, trial, None) == outcome
    kept = tuning.tune(outcome, trial, Tuned("ridge", {"alpha": 44.0}, 9, 1.0))
    assert kept.tuned is not None
    assert kept.tuned["parameters"] == {"alpha": 44.0}
    assert tuning.tune(outcome, trial, Tuned("ridge", {"alpha": 0.001}, 9, 1.0)) == outcome


def test_candidate_of_the_champion_need_not_be_in_the_comparison() -> None:
    """Too few rows or the budget have left it out: its parameters are tried all the same, and win, and others near them."""
    _, trial = compared()
    few = {"forest": {"n_estimators": [2]}}
    train = Train(candidates=["linear", "forest", "ridge"], grids=few, blend=False)
    competing = candidates.plan(PRICES, train.model_copy(update={"candidates": ["linear", "forest"]}))
    without = comparison.compare(competing, Trial(PRICES, trial.rows, trial.targets, train))
    before = Tuned("ridge", {"alpha": 44.0}, 9, 1.0)

    def attempt(seconds: float) -> Outcome:
        settings = train.model_copy(update={"tune_seconds": seconds})
        return tuning.tune(without, replace(trial, settings=settings), before)

    assert tuned_within(attempt, search.MARGIN_TRIES + 1)["candidate"] == "ridge"


def test_champion_of_parameters_that_are_no_more_still_has_a_title() -> None:
    """The sentence that it was left out must not end the training."""
    settings = Train(candidates=["forest"])
    assert Tuned("forest", {"n_estimators": 9}).title(PRICES, settings) == "forest(n_estimators=9)"
    assert Tuned("forest", {"seeds": 9}).title(PRICES, settings) == "forest"


def test_slow_parameters_of_the_champion_take_their_share_alone() -> None:
    """More rows may have made them so: they end after what a candidate may take, it is said, and others are tried as long as ever."""
    outcome, trial = compared()
    slow = Tuned("forest", {"n_estimators": 1_000_000}, 9, 1.0)

    def attempt(seconds: float) -> Outcome:
        names = ["linear", "ridge", "forest"]
        train = Train(candidates=names, budget_seconds=0.4, tune_seconds=seconds, blend=False)
        result = tuning.tune(outcome, replace(trial, settings=train), slow)
        assert list(result.left_out) == ["forest(n_estimators=1000000)"]
        assert "share of train.budget_seconds (0.2 s)" in result.left_out["forest(n_estimators=1000000)"]
        return result

    assert tuned_within(attempt, 2)["candidate"] == "ridge"


def test_grid_that_has_gone_since_leaves_no_parameter_out() -> None:
    """The champion's parameters lack what a grid or an older version did not search: it is drawn from anywhere."""
    draws = Draws(np.random.default_rng(0), {})
    assert draws.one("ridge", {"solver": "svd"}).keys() == SPACES["ridge"].keys()


def test_tuning_is_off_unless_it_has_time() -> None:
    """By default nothing is searched, not even the champion's parameters; nor where nothing can be tuned."""
    outcome, trial = compared()
    assert tuning.tune(outcome, trial, Tuned("ridge", {"alpha": 44.0}, 9, 1.0)) is outcome
    plain = replace(outcome, scored=[one for one in outcome.scored if one.name == "linear"])
    assert tuning.tune(plain, replace(trial, settings=Train(tune_seconds=5)), None) is plain


def test_try_that_is_behind_is_given_up() -> None:
    """After the first fold: most tries cost one fit instead of five."""
    rows, codes = mixed(200)
    train = Train(candidates=["forest"], grids={"forest": {"n_estimators": [5]}}, tune_seconds=1)
    trial = Trial(MIXED, rows, codes, train)
    tries = Search(trial, comparison.compare(candidates.plan(MIXED, train), trial).ranking)
    best = tries.leaders.best
    engine = tries._engine = Counted(trial)
    tries.take(Tuned("forest", {"max_depth": 1, "n_estimators": 1}))
    assert engine.ran == 1
    assert tries.leaders.best is best
    tries.take(Tuned("forest", {"max_depth": 1, "n_estimators": 1}), raced=False)
    assert engine.ran == 1 + 5


class Counted(OneByOne):
    """Counts the folds that it runs."""

    ran = 0

    def wait(self, seconds: float) -> list[Result]:
        """Count the results."""
        results = super().wait(seconds)
        self.ran += len(results)
        return results


def test_tuned_is_who_sees_categories_as_they_say_most() -> None:
    """Where the means of forty towns did better than the towns, parameters are searched for those, and found again."""
    schema = Schema(task="regression", target="y", columns=LETTERS.columns[1:])
    random = np.random.default_rng(0)
    towns, worth = random.integers(0, len(TOWNS), 240), random.normal(size=len(TOWNS)) * 10
    train = Train(candidates=["ridge"], folds=3, tune_seconds=0.5, grids={"ridge": {"alpha": [1e4]}})
    examples = np.column_stack([random.normal(size=240), towns]), worth[towns] + random.normal(size=240)
    outcome = comparison.compare(candidates.plan(schema, train), Trial(schema, *examples, train))
    assert [candidates.is_encoded(one.name) for one in outcome.scored] == [False, True]
    outcome = replace(outcome, scored=outcome.scored[1:])
    trial = Trial(schema, *examples, train.model_copy(update={"grids": {}}))
    tuned = tuning.tune(outcome, trial, None)
    assert tuned.tuned is not None
    assert tuned.tuned["encoded"]
    kept = Tuned.of({"tuned": tuned.tuned})
    assert kept is not None
    assert trial.of(kept.made(schema, train)).by_fold == tuned.scored[-1].by_fold


def test_tuning_must_leave_time_to_fit() -> None:
    """With as long as the whole training may take, none would ever end."""
    with pytest.raises(ValidationError, match="leave no time to fit"):
        Train(tune_seconds=60, timeout_seconds=60)
