"""`POST /predict` with a CSV file: the same file comes back with the answers as further columns."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from retraind.daemon.schema.prediction_columns import answer_columns
from retraind.daemon.schema.schema import Schema
from retraind.web import predict as answering
from retraind.web.http.payload import CSV
from retraind.web.http.problems import Problem
from retraind.web.http.reply import Reply
from retraind.web.serving import call, csv_rows
from retraind.web.serving.answered import Answered
from retraind.web.serving.csv_rows import CsvRows
from retraind.web.worker_state import Worker

INLINE_BYTES = 4096
"""Larger bodies are read in a lane: splitting them takes longer than other requests should wait."""


def predict(worker: Worker, environ: WSGIEnvironment, *, wants_shares: bool) -> Reply:
    """Answer every row, or none: raises Problem or InvalidFeatures, with lines, if one is bad."""
    body = environ["wsgi.input"].read()
    if len(body) > INLINE_BYTES and call.current().inline:
        raise call.Deferred
    chosen = answering.predictor(worker, environ)
    rows = csv_rows.read(chosen.schema, body)
    _require_free(rows, chosen.schema, shares=wants_shares)
    partial = worker.settings.inbox.extra_columns == "add"
    answered = answering.answer(worker, environ, chosen, csv_rows.inputs_of(chosen.schema, rows, partial=partial))
    version = str(answered.predictor.version)
    headers = {"Content-Type": f"{CSV}; charset=utf-8", "X-Model-Version": version}
    return Reply(_text(rows, answered, shares=wants_shares).encode(), headers=headers)


def _require_free(rows: CsvRows, schema: Schema, *, shares: bool) -> None:
    """Raise Problem 422 if a column has the name of an answer's."""
    for name in answer_columns(schema.classes, shares=shares, ids=True):
        if name in rows.names:
            detail = f"Line 1: there is a column {name!r}, the name of an answer's column: rename or remove it."
            raise Problem(422, detail, errors=[{"field": name, "detail": detail}])


def _text(rows: CsvRows, answered: Answered, *, shares: bool) -> str:
    """The answers beside the cells of the file, verbatim; byte order mark and line ends are those of the file."""
    classes = answered.predictor.classes
    text = io.StringIO()
    text.write(rows.start)
    lines = csv.writer(text, delimiter=rows.delimiter, lineterminator=rows.ending)
    names = [rows.names[place] for place in rows.kept]
    lines.writerow([*names, *answer_columns(classes, shares=shares, ids=True)])
    cells: list[Sequence[Any]] = [[record[place] for record in rows.records] for place in rows.kept]
    lines.writerows(zip(*cells, *_answers(answered, rows.delimiter, shares=shares), strict=True))
    return text.getvalue()


def _answers(answered: Answered, delimiter: str, *, shares: bool) -> Iterator[Sequence[Any]]:
    """The columns of `answer_columns`, for a file with this delimiter."""
    schema, matrix = answered.predictor.schema, answered.matrix.tolist()
    mark = schema.answer_mark(delimiter)

    def texts(values: Sequence[float]) -> Sequence[Any]:
        return values if mark == "." else [repr(value).replace(".", mark) for value in values]

    yield answered.ids
    if schema.classes:
        yield answered.names
        yield texts([row[code] for row, code in zip(matrix, answered.predictions, strict=True)])
        if shares:
            yield from (texts([row[code] for row in matrix]) for code in range(len(schema.classes)))
    else:
        yield texts(answered.predictions)
    yield [answered.predictor.version] * len(matrix)
