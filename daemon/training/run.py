"""Training: from a revision to fitted candidates to a registered version with its bundle, in a separate process.

It runs in the child that `retraind.daemon.training.trainer` forks, and can be killed at any moment: files written before the
version is registered are removed later, and work after that is only for people.
"""

import shutil
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import onnxruntime
import sklearn

from retraind.daemon.artifacts import bundle, evaluation, reference_sample
from retraind.daemon.artifacts.bundle import Manifest, Model
from retraind.daemon.core import logs
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings.scheduler import SCHEDULED
from retraind.daemon.core.status import utcnow
from retraind.daemon.dataset import segments
from retraind.daemon.portable import pipeline
from retraind.daemon.processes.training_job import Job, Say
from retraind.daemon.registry.registry import Registry
from retraind.daemon.schema.arrival_times import Window
from retraind.daemon.schema.schema import parse
from retraind.daemon.schema.scores import NamedMetric, Scores
from retraind.daemon.training import importance
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.data.source import Source
from retraind.daemon.training.engines import choice
from retraind.daemon.training.evaluation import baseline_comparison, details, holdouts, new_reference, reference_answers
from retraind.daemon.training.evaluation.holdouts import Compared
from retraind.daemon.training.mlflow_log import RunLogger, is_small
from retraind.daemon.training.pieces.piece_data import PieceData
from retraind.daemon.training.preparation import prepare
from retraind.daemon.training.refit import Served
from retraind.daemon.training.selection import attempt, tuning
from retraind.daemon.training.selection.comparison import Outcome
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.winner import Winner, choose_winner, fitting_ahead, serve_winner
from retraind.daemon.training.work import Work

log = logs.Logger()


def train(home: Home, job: Job, say: Say, finish: Callable[[], None] = lambda: None) -> None:
    """Run one job to the end and say `done` with the version; raises TrainingFailed, DatasetDamaged, BundleRefused.

    `finish` is called when the version is registered; the remaining work gets less time.
    """
    started = time.monotonic()
    schema, registry = parse(home.schema.read_bytes(), str(home.schema)), Registry(home)
    tags = {"reason": job.reason, "revision": job.revision, "dvc_md5": job.dvc_md5}
    work = Work(home, job, schema, registry, registry.start_run(f"training {job.run}", tags), started)
    try:
        version, remark, afterwards = _train(work, say)
    except BaseException:
        shutil.rmtree(work.staging, ignore_errors=True)
        _end_failed(work)
        raise
    say({"run": job.run, "done": version, "seconds": time.monotonic() - started, "remark": remark})
    # Figures and pictures for people decide nothing, so the swap does not wait for them.
    finish()
    try:
        afterwards()
        registry.prune()
    except Exception:  # the version is already served, and a failed picture does not change that
        log.exception("report_incomplete", run=job.run)
    registry.end_run(work.run)


def _end_failed(work: Work) -> None:
    """Close the run of a failed training. If that also fails, the trainer closes it, and the first reason is reported."""
    try:
        work.registry.end_run(work.run, "FAILED")
    except Exception:  # whatever MLflow raises
        log.exception("run_left_open", run=work.run)


def _train(work: Work, say: Say) -> tuple[int, str, Callable[[], None]]:
    """The registered version, a remark on the training (or an empty text), and the remaining work for people."""
    work, settings, competing, left_out, way, progress = prepare(work, say)
    job, schema, costs = work.job, work.schema, work.costs
    window = Window(settings.window_rows, settings.window_days, time.time() * 1000)
    served, problem = _champion(work)
    before = None if served is None else holdouts.assignment_of(served.manifest, schema)
    rules = settings, window, before, new_reference.era(job.gate)
    read = partial(Source, early_rows=job.early_rows, kind=PieceData if way.pieces else Data)
    source = read(work.home.segments, job.segments, schema, job.first_rows, *rules)
    data = source.read()
    segments.release()
    trial = Trial.of_data(data, settings, progress)
    if trial.sample is not None:
        progress.announce(trial.sample.sentence)
    champions: Scores = {} if served is None else served.manifest.scores
    expected = {} if served is None else attempt.expected(champions, served.manifest.compared_rows, len(trial.targets))
    with choice.opened(trial, source, job, work.home.root) as engine:
        outcome = tuning.choose(competing, trial, champions, engine, expected)
    outcome.left_out.update(left_out)
    work.staging.mkdir(parents=True)
    with fitting_ahead(work, data, outcome.ranking[0]) as ahead:
        winner = choose_winner(work, data, outcome, progress, trial.sample)
        figures, compared = _figures(work, served, data, winner, outcome)
        detailed, judged = details.of(compared.answers, data, figures, costs)
        answered = compared.answered
        # The answers for all held-out rows are large beside what the next fit needs.
        del compared
        made = serve_winner(work, data, winner, progress, ahead)
    if problem:
        figures["twin_problem"] = problem
    if trial.sample is not None or way.pieces:
        figures["compared_rows"] = len(trial.targets)
    if way.pieces:
        figures["from_pieces"] = True
    parts = data.training[0], data.judging[0], winner.answering, settings.seed, costs, made.rows
    made.facts["files"] |= reference_sample.write(work.staging, *parts) | answered.write(work.staging)
    made.facts["files"] |= evaluation.write(work.staging, detailed) | judged.write(work.staging)
    manifest = _manifest(work, data, winner, made, figures)
    sealed = bundle.seal(work.staging, manifest)
    progress.stage("logging to MLflow", progress.candidates + 3)
    logger = RunLogger(work.registry, work.run, data, manifest, work.home.data)
    logger.begin()
    tags = {"bundle": sealed, "revision": job.revision, "dvc_md5": job.dvc_md5, "candidate": winner.scored.name}
    tags |= {"backend": manifest.backend, "backend_difference": f"{manifest.difference:.2g}"}
    with pipeline.table_model(schema, made.fitted, costs, made.strange) as model:
        version = work.registry.register(work.run, model, tags)
    remark = "" if outcome.cut is None else outcome.cut.sentence
    return (
        version,
        remark,
        lambda: logger.finish(outcome.scored, winner.scored, winner.fitted, few=is_small(data, settings)),
    )


def _figures(work: Work, served: Model | None, data: Data, winner: Winner, outcome: Outcome) -> tuple[Scores, Compared]:
    """The scores of challenger and champion on the same held-out rows, and of the candidates.

    And the challenger's answers.
    """
    best, correction = winner.scored, winner.correction
    parts = winner.fitted, served, data, winner.kept, _rules(work, best.metric)
    compared = new_reference.compare(*parts, new_reference.gate(work.job.gate))
    figures: Scores = {
        **compared.scores,
        "champion_version": work.job.champion,
        "fit_seconds": winner.fit_seconds,
        "features": work.schema.features,
        "importance": importance.of(winner.answering, *data.judging, work.schema, work.job.train.seed, work.costs),
        "candidates": [one.figures() for one in outcome.scored],
        "left_out": outcome.left_out,
        "cut": None if outcome.cut is None else outcome.cut.figures(),
        "tuned": outcome.tuned if best is outcome.scored[-1] else None,
        "calibration": None if correction is None else correction.facts(),
    }
    figures["cv_r2" if work.schema.task == "regression" else "cv_accuracy"] = best.score
    return figures, compared


def _rules(work: Work, metric: NamedMetric) -> baseline_comparison.Rules:
    """The terms of the comparison, with earlier versions' answers if their bundles still have them."""
    answers = {version: reference_answers.read(work.home.bundle(version)) for version in work.job.past}
    past = {version: answered for version, answered in answers.items() if answered is not None}
    return baseline_comparison.Rules(metric, past, work.job.champion, work.job.train.metric != "auto", work.costs)


def _champion(work: Work) -> tuple[Model | None, str]:
    """The champion's model to compare the challenger with, and its problem: the judged model, or else the served one.

    The judged model has not seen the holdouts. The served model has, so comparing with it is hard on the challenger,
    but better than nothing.
    """
    if work.job.champion is None or work.job.champion_bundle is None:
        return None, ""
    place = work.home.bundle(work.job.champion), work.job.champion_bundle
    try:
        return bundle.load_judged(*place), ""
    except BundleRefused as error:
        problem = str(error)
    log.warning("twin_refused", version=work.job.champion, reason=problem)
    try:
        return bundle.load(*place), problem
    except BundleRefused:
        return None, ""


def _manifest(work: Work, data: Data, winner: Winner, made: Served, figures: Scores) -> Manifest:
    job = work.job
    libraries = {"python": ".".join(map(str, sys.version_info[:3])), "scikit-learn": sklearn.__version__}
    libraries |= {"numpy": np.__version__, "onnxruntime": onnxruntime.__version__}
    return Manifest(
        run=work.run,
        candidate=winner.scored.name,
        estimator=str(made.fitted).replace("\n", "")[:500],
        revision=job.revision,
        dvc_md5=job.dvc_md5,
        rows=data.listed,
        data_schema=work.schema,
        scores=figures,
        reason=job.reason,
        seed=job.train.seed,
        settings=job.train.model_dump(exclude=set(SCHEDULED)),
        first_rows=job.first_rows,
        early_rows=job.early_rows,
        libraries=libraries,
        created=utcnow(),
        **made.facts,
    )
