"""Agreement: how far two versions answer the same rows alike. Pure functions of answers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from daemon.core.errors import InvalidFeatures
from daemon.schema.costs import named
from daemon.schema.row_encoding import encode
from web.serving.inputs import Inputs
from web.serving.predictor import Predictor

Matrix = NDArray[np.float64]

PIECE_ROWS = 1024
"""Rows that the challenger answers at once."""

SHOWN = 20
"""So many rows of a group with other labels are told one by one."""


@dataclass(slots=True)
class ChampionAnswers:
    """What the champion has told a client: `answers` (n, classes) probabilities or (n, 1) values, and the prediction ids."""

    champion: Predictor
    answers: Matrix
    ids: list[str]
    inputs: Inputs


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the challenger agrees with the champion on some rows."""

    n: int = 0
    failed: int = 0
    """Rows that the challenger does not take, or has no finite answer for; not among the `n`."""
    agreed: int | None = None
    """Equal labels; None for values."""
    difference: float = 0.0
    """Sum over the rows: of probabilities the largest difference, of values the absolute one."""
    largest: float = 0.0
    differing: list[tuple[str, str, str]] = field(default_factory=list)
    """The first rows with other labels: prediction id, the champion's label, the challenger's."""


def compare(challenger: Predictor, group: list[ChampionAnswers]) -> Agreement:
    """Have the challenger answer what one champion has answered; raises what a broken model raises."""
    champion = group[0].champion
    champions, ids = np.vstack([one.answers for one in group]), [name for one in group for name in one.ids]
    if (champion.schema.task, champion.schema.target) != (challenger.schema.task, challenger.schema.target):
        return Agreement(failed=len(ids))
    rows = np.vstack([_encoded(one, challenger) for one in group])
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
    """The rows as the challenger takes them, all NaN where it does not."""
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
    """The answers, NaN where there is none."""
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
