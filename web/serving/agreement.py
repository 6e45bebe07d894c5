"""Agreement: how similar the answers of two versions to the same rows are. Pure functions of answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.costs import named
from retraind.daemon.schema.row_encoding import encode
from retraind.web.serving.inputs import Inputs
from retraind.web.serving.predictor import Predictor

Matrix = NDArray[np.float64]

PIECE_ROWS = 1024
"""Rows that the challenger predicts per call."""

SHOWN = 20
"""Maximum number of differing rows that are listed for a group."""


@dataclass(slots=True)
class ChampionAnswers:
    """The champion's predictions: `answers` are (n, classes) probabilities or (n, 1) values."""

    champion: Predictor
    answers: Matrix
    ids: Sequence[str]
    inputs: Inputs


@dataclass(frozen=True, slots=True)
class Agreement:
    """Comparison of challenger and champion on some rows."""

    n: int = 0
    failed: int = 0
    """Rows that are invalid for the challenger or have no finite answer; not counted in `n`."""
    agreed: int | None = None
    """Equal labels; None for values."""
    difference: float = 0.0
    """Sum over the rows of the largest difference of probabilities, or of the absolute difference of values."""
    largest: float = 0.0
    differing: list[tuple[str, str, str]] = field(default_factory=list)
    """The first rows with different labels: prediction id, label of the champion, label of the challenger."""


def compare(challenger: Predictor, group: list[ChampionAnswers]) -> Agreement:
    """Let the challenger predict the rows that the champion has answered; passes on the errors of a broken model."""
    champion = group[0].champion
    champions, ids = np.vstack([part.answers for part in group]), [key for part in group for key in part.ids]
    if (champion.schema.task, champion.schema.target) != (challenger.schema.task, challenger.schema.target):
        return Agreement(failed=len(ids))
    rows = np.vstack([_encoded(part, challenger) for part in group])
    answers = np.vstack([_answers(challenger, rows[at : at + PIECE_ROWS]) for at in range(0, len(rows), PIECE_ROWS)])
    finite = np.flatnonzero(np.isfinite(answers).all(axis=1))
    failed = len(ids) - len(finite)
    champions, answers, ids = champions[finite], answers[finite], [ids[at] for at in finite]
    if not champion.classes:
        off = np.abs(answers - champions)[:, 0]
        return Agreement(len(ids), failed, None, float(off.sum()), float(off.max(initial=0.0)))
    codes = np.array([challenger.schema.class_codes.get(name, -1) for name in champion.classes])
    aligned = np.where(codes >= 0, answers[:, codes], 0.0)
    off = np.abs(aligned - champions).max(axis=1)
    labels, own = named(champions, champion.costs), named(answers, challenger.costs)
    others = np.flatnonzero(codes[labels] != own)
    differing = [(ids[at], champion.classes[labels[at]], challenger.classes[own[at]]) for at in others[:SHOWN]]
    agreed = len(ids) - len(others)
    return Agreement(len(ids), failed, agreed, float(off.sum()), float(off.max(initial=0.0)), differing)


def _encoded(answered: ChampionAnswers, challenger: Predictor) -> Matrix:
    """The rows encoded for the challenger; NaN for rows that are invalid for it."""
    ours, theirs = answered.champion.schema, challenger.schema
    if ours.shape[2 + len(ours.classes) :] == theirs.shape[2 + len(theirs.classes) :]:
        return answered.inputs.matrix
    made = np.full((len(answered.inputs), theirs.width), np.nan)
    for number, values in enumerate(answered.inputs.values):
        named = {name: value for name, value in zip(ours.features, values, strict=True) if name in theirs.known}
        try:
            made[number] = encode(theirs, named)
        except InvalidFeatures:
            continue
    return made


def _answers(challenger: Predictor, rows: Matrix) -> Matrix:
    """The answers; NaN where there is none."""
    try:
        return challenger.answers(rows)
    except InvalidFeatures:
        width = max(1, len(challenger.classes))
        answers = np.full((len(rows), width), np.nan)
        for number in range(len(rows)):
            try:
                answers[number] = challenger.answers(rows[number : number + 1])[0]
            except InvalidFeatures:
                continue
        return answers
