"""Caveats of scores: the limits of a version's scores, as clauses for people.

Shared with `web`. Pure functions of the scores in a manifest (`retraind.daemon.training.evaluation.holdouts`). A version of a
home with little data is served nevertheless; its caveats are shown beside it until a version without caveats serves.
"""

from collections.abc import Iterator

from retraind.daemon.schema import score_names
from retraind.daemon.schema.scores import DummyScore, Score, Scores

SHOWN = 3
"""Maximum number of classes that are named; further ones are counted."""


def of(scores: Scores) -> list[str]:
    """The caveats of a challenger's scores, the gravest first; none for older scores without a dummy."""
    return [*_unjudged(scores), *_untimed(scores), *_unseen(scores), *filter(None, [no_better(scores)])]


def sentence(scores: Scores) -> str:
    """The caveats as one sentence; empty without caveats."""
    lacks = of(scores)
    return f"On trial: {'; '.join(lacks)}." if lacks else ""


def no_better(scores: Scores) -> str | None:
    """A clause if the challenger is not better than the dummy by the deciding metric; None if it is better, or unknown."""
    score, dummy = rolling(scores), rolling_dummy(scores)
    least, judged = dummy_value(score, dummy), score_names.judged(score)
    if score is None or dummy is None or judged is None or least is None:
        return None
    if score_names.gain(score, judged, least) > 0:
        return None
    return f"it is no better than always answering {dummy_answer(dummy)} ({score_names.with_name(score, least)})"


def dummy_value(score: Score | None, dummy: DummyScore | None) -> float | None:
    """The dummy's value of the deciding metric; None if it was not measured, or by an older release."""
    if not score or not dummy or not score["n"] or dummy["n"] != score["n"]:
        return None
    return dummy.get(score_names.metric(score))


def dummy_answer(dummy: DummyScore) -> str:
    """The dummy's constant answer: a class in quotes, or the mean."""
    return f"{dummy['answer']!r}" if dummy.get("answer") is not None else "the mean"


def rolling(scores: Scores) -> Score | None:
    """The challenger's score on the rolling holdout."""
    return (scores.get("challenger") or {}).get("rolling")


def rolling_dummy(scores: Scores) -> DummyScore | None:
    """The dummy's score there."""
    return (scores.get("dummy") or {}).get("rolling")


def _unjudged(scores: Scores) -> Iterator[str]:
    score = rolling(scores)
    if score and score["n"] == 0:
        yield "no held-out row judges it"
    elif score and score_names.judged(score) is None:
        yield f"the targets of {score_names.counted(score['n'], 'held-out row')} do not vary, so R² is undefined"


def _untimed(scores: Scores) -> Iterator[str]:
    split = scores.get("split") or {}
    if "since" in split and split["since"] is None:
        yield "no point in time splits its rows as train.time requires, so a hash chose the rows that judge"


def _unseen(scores: Scores) -> Iterator[str]:
    """Classes that it was trained on, but without a held-out row."""
    score = rolling(scores)
    held = score.get("support") if score else None
    if not held:  # no row is held out at all, which has its own caveat
        return
    trained = (scores.get("taught") or {}).get("support") or {}
    unseen = [
        f"{score_names.counted(n, 'row')} of {name!r}, none held out"
        for name, n in trained.items()
        if n and not held.get(name)
    ]
    yield from unseen[:SHOWN]
    if len(unseen) > SHOWN:
        yield f"{len(unseen) - SHOWN} more classes without a held-out row"
