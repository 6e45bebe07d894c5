"""Prediction: from checked inputs to answers, which are logged before they are sent.

Every endpoint that predicts (`/predict` and the protocols) ends here, so all are logged, counted and traced alike.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core.errors import InvalidFeatures
from retraind.web.auth.access import CALLER
from retraind.web.http import payload
from retraind.web.http.problems import Problem
from retraind.web.serving import call
from retraind.web.serving.agreement import ChampionAnswers
from retraind.web.serving.answered import Answered, AnsweredRow
from retraind.web.serving.answered_rows import AnsweredRows, joined
from retraind.web.serving.inputs import Inputs, Matrix, from_rows
from retraind.web.serving.inputs import joined as joined_inputs
from retraind.web.serving.predictor import Predictor
from retraind.web.worker_state import Worker

Meanwhile = Callable[[AnsweredRows], object]

ALIASES = ("champion", "challenger", "previous")
"""Aliases of versions, as in MLflow."""

MOST_DIGITS = 10
"""Version numbers are shorter than this."""


def predictor(
    worker: Worker, environ: WSGIEnvironment, version: int | None = None, alias: str | None = None
) -> Predictor:
    """The predictor for a request, which must take it only once.

    `version` or `alias` (`champion`, `challenger`, `previous`) come from the path. Otherwise `?version=` or the header
    `X-Model-Version` may name a number or an alias. The default is the served version, or a challenger in a canary.

    Raises Deferred while the version is being loaded and the server waits for it, Problem 503 while no model (or not
    this one) is loaded, 404 for an unknown version, 400 for an invalid name.
    """
    current = worker.slot.current
    if current is None:
        if worker.slot.problem is None:
            worker.counters.count_before_first_model()
        hint = "No version has been promoted yet, or it can't be loaded; GET /health has the reason."
        raise Problem(503, "No model is loaded.", hint=hint, Retry_After="1")
    choice = version or alias or _asked(environ)
    if choice is None:
        return worker.challenger.predictor_for(current, environ)
    if choice in (current.version, "champion"):
        return current
    number = choice if isinstance(choice, int) else _named(worker, choice)
    challenger = worker.challenger.predictor
    if challenger is not None and challenger.version == number:
        return challenger
    this_call = call.current()
    if this_call.asked_at is None:
        this_call.asked_at = time.monotonic()
    other = worker.version_cache.find(number, this_call.asked_at)
    if isinstance(other, Predictor):
        return other
    if this_call.patient:
        this_call.loading = other
        raise call.Deferred
    raise Problem(503, f"Version {number} is being loaded.", hint="Try again in a moment.", Retry_After="1")


def _named(worker: Worker, alias: str) -> int:
    loaded = worker.slot.challenger if alias == "challenger" else worker.slot.previous
    if loaded is None:
        raise Problem(404, f"There is no {alias} version now.", hint="GET /versions lists the versions.")
    return loaded


def _asked(environ: WSGIEnvironment) -> int | str | None:
    """The version named by the query, or else by the header: a number or an alias; None if neither does."""
    header = environ.get("HTTP_X_MODEL_VERSION")
    choice = None if header is None else _choice(header)
    if query := environ.get("QUERY_STRING"):
        for key in parse_qs(query, keep_blank_values=True).get("version", ()):
            choice = _choice(key)
    return choice


def _choice(key: str) -> int | str:
    """The version named by a text; raises Problem 400."""
    if key in ALIASES:
        return key
    if version := payload.whole(key, MOST_DIGITS - 1):
        return version
    raise Problem(400, f"{key!r:.60} is not a version.", hint=f"Send a number, or one of {', '.join(ALIASES)}.")


def answer(
    worker: Worker, environ: WSGIEnvironment, chosen: Predictor, inputs: Inputs, meanwhile: Meanwhile | None = None
) -> Answered:
    """Predict and log all rows, with the name of the caller.

    `meanwhile` gets each piece of many rows while the next is predicted, so that an endpoint can write its answer then.

    Raises InvalidFeatures if the model has no finite answer, and NotKept if the log is strict and can't be written. If
    a canary challenger fails, the champion answers: see `Answered.predictor`.
    """
    started, caller = time.perf_counter(), environ[CALLER].name
    tried = None
    if chosen.trial:
        chosen, inputs, tried = _tried(worker, chosen, inputs)
    if len(inputs) == 1:
        shares = chosen.answer(inputs) if tried is None else tried[0].tolist()
        row = AnsweredRow(chosen, shares, chosen.decide(shares), worker.next_id(), _since(started))
        return _log(worker, row, [row.line(inputs.values[0], caller)], [inputs])
    answers = worker.pipelined.answers_to(chosen, inputs) if tried is None else [(inputs, tried)]
    return _answer_rows(worker, environ, chosen, answers, started, meanwhile)


def answer_pieces(
    worker: Worker, environ: WSGIEnvironment, chosen: Predictor, pieces: Iterable[Inputs], meanwhile: Meanwhile
) -> Answered:
    """The same for many rows that are still being read, for a version that is not on trial.

    Also raises what `pieces` raises; nothing has been logged then.
    """
    started = time.perf_counter()
    return _answer_rows(worker, environ, chosen, worker.pipelined.answers(chosen, pieces), started, meanwhile)


def _answer_rows(
    worker: Worker,
    environ: WSGIEnvironment,
    chosen: Predictor,
    answers: Iterable[tuple[Inputs, Matrix]],
    started: float,
    meanwhile: Meanwhile | None,
) -> Answered:
    caller, request = environ[CALLER].name, worker.next_id()
    lines, rows, parts, at = list[bytes](), list[Inputs](), list[AnsweredRows](), 0
    for piece, matrix in answers:
        part = AnsweredRows(chosen, matrix, request, at, _since(started))
        lines += part.lines(piece, caller)
        if meanwhile is not None:
            meanwhile(part)
        parts.append(part)
        rows.append(piece)
        at += len(part)
    return _log(worker, joined(parts), lines, rows)


def _since(started: float) -> float:
    """Milliseconds since `started`, in the log's precision."""
    return round((time.perf_counter() - started) * 1000, 3)


def _log(worker: Worker, answered: Answered, lines: list[bytes], rows: Sequence[Inputs]) -> Answered:
    """Log and count predictions; the shadow compares those of the champion."""
    worker.log.append(lines)
    call.current().logged = True
    chosen = answered.predictor
    worker.counters.predicted(chosen.version, sum(map(len, rows)))
    if chosen is worker.slot.current and worker.shadow.wants:
        worker.shadow.offer(ChampionAnswers(chosen, answered.matrix, answered.ids, joined_inputs(rows)))
    return answered


def _tried(worker: Worker, trial: Predictor, inputs: Inputs) -> tuple[Predictor, Inputs, Matrix]:
    champion = worker.slot.current
    try:
        return trial, inputs, trial.answers(inputs.matrix)
    except Exception as error:
        if champion is None:
            raise
        if not isinstance(error, InvalidFeatures):
            worker.challenger.withdraw(trial.version, error)
    # Encoded again by its own schema: the champion may not know a category of the challenger.
    rows = from_rows(champion.schema, inputs.values)
    return champion, rows, champion.answers(rows.matrix)
