"""Relevance of free text: whether its words improve a prediction from the other columns, measured at `init`.

A linear model is cross-validated on a sample with and without the words; the time for all texts is bounded.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from retraind.daemon.core.settings import Inbox, Train
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.hash_mixing import Prints
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.schema.scores import Metric
from retraind.daemon.tabular import csv_profile, csv_table, row_hashes, rows
from retraind.daemon.tabular.csv_profile import Choice
from retraind.daemon.tabular.csv_table import BLOCK_BYTES
from retraind.daemon.tabular.schema_draft import Draft
from retraind.daemon.tabular.schema_growth import grown
from retraind.daemon.training import losses
from retraind.daemon.training.selection import candidates
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.cross_validation import Trial

SAMPLE, FEWEST = 2_000, 100
"""Maximum and minimum number of sampled rows, evenly spread over the file."""

MOST_SECONDS = 20.0
"""Seconds after which no further text is tried."""

SURE, LESS = 3.0, 0.01
"""Minimum fall of the loss, in standard errors and as a share."""

ESTIMATORS: dict[Task, str] = {"classification": "logistic", "regression": "ridge"}

METRICS: dict[Task, Metric] = {"classification": "log_loss", "regression": "r2"}

TITLES: dict[Task, str] = {"classification": "log loss", "regression": "share of variance not explained"}


class Opinion(NamedTuple):
    """Whether a text should be a feature, and why or why not."""

    useful: bool
    why: str


def with_texts(
    path: Path, draft: Draft, most: int, again: Callable[[Mapping[str, Choice]], Draft], kinds: Mapping[str, Choice]
) -> Draft:
    """The draft, made `again` with helpful texts among the `kinds`, and the reason for each. Raises BadSchema."""
    opinions = of(path, draft, most)
    useful = [name for name, one in opinions.items() if one.useful]
    if useful:
        draft = again({**kinds, **dict.fromkeys(useful, "text")})
    whys = {
        name: f"{why}; {opinions[name].why}; --kind {name!r}=text takes it in" if name in opinions else why
        for name, why in draft.left_out.items()
    }
    return replace(
        draft, left_out=whys, notes=draft.notes | {name: f"free text: {opinions[name].why}" for name in useful}
    )


def of(path: Path, draft: Draft, most: int) -> dict[str, Opinion]:
    """Opinions on the words of each free text that a draft leaves out; raises OSError, InvalidDrop.

    `most`: maximum bytes of an inflated .csv.gz.
    """
    table, ends = _sample(path, draft.schema.target, most), time.monotonic() + MOST_SECONDS
    opinions: dict[str, Opinion] = {}
    for name in draft.texts:
        if time.monotonic() > ends:
            opinions[name] = Opinion(False, f"its words were not tried: {MOST_SECONDS:g} s were used up")
        else:
            opinions[name] = opinion(table, draft.schema, name)
    return opinions


def opinion(table: pa.Table, schema: Schema, name: str) -> Opinion:
    """The opinion on one column of text cells, used in addition to the columns of a schema."""
    column = Column(name=name, kind="text", missing=True)
    more = grown(schema, columns=[*schema.columns, column], ignored=[one for one in schema.ignored if one != name])
    checked = rows.check(table, more, Inbox(new_classes="quarantine")).table
    if checked.num_rows < FEWEST:
        return Opinion(False, f"its words were not tried on {checked.num_rows} good rows")
    units = row_hashes.of_rows(checked, more.columns)
    try:
        without, beside = (_losses(checked, one, units) for one in (schema, more))
    except ValueError as error:  # raised by scikit-learn, on a single class, say
        return Opinion(False, f"its words could not be tried ({str(error)[:80]})")
    fall = without - beside
    said = f"{TITLES[schema.task]} {without.mean():.3f} without, {beside.mean():.3f} with them, {len(fall)} rows"
    noise = SURE * float(fall.std()) / math.sqrt(len(fall))
    useful = float(fall.mean()) > max(noise, LESS * float(without.mean()))
    return Opinion(useful, f"its words {'help' if useful else 'do not help'} ({said})")


def _losses(table: pa.Table, schema: Schema, units: Prints) -> losses.Vector:
    """The loss of a linear model on each row, which it was not trained on; equal rows are in one fold."""
    targets = rows.targets(table, schema) if schema.task == "regression" else rows.codes(table, schema)
    name = ESTIMATORS[schema.task]
    candidate = Candidate(name, candidates.build(name, schema, seed=0))
    answers, truth, _ = Trial(schema, rows.matrix(table, schema), targets, Train(), units=units).of(candidate).kept
    return losses.of(answers, truth, METRICS[schema.task])


def _sample(path: Path, target: str, most: int) -> pa.Table:
    """Text cells of up to SAMPLE rows, from all parts of the file."""
    file = csv_profile.opened(path, most)
    header = csv_table.examine(file, [target])
    pieces = max(1, -(-file.size // BLOCK_BYTES))
    return pa.concat_tables(_some(chunk.table, -(-SAMPLE // pieces)) for chunk in csv_table.chunks(file, header))


def _some(table: pa.Table, most: int) -> pa.Table:
    places = np.unique(np.linspace(0, table.num_rows - 1, min(most, table.num_rows)).astype(np.int64))
    return table.take(places)
