"""The preparation of a training: the candidates that compete, and the way in which they get the rows."""

from dataclasses import replace
from typing import NamedTuple

from retraind.daemon.core.settings import Train
from retraind.daemon.processes.training_job import Say
from retraind.daemon.training import resource_limits
from retraind.daemon.training.pieces import memory
from retraind.daemon.training.pieces.memory import Way
from retraind.daemon.training.progress import Progress
from retraind.daemon.training.selection import candidates, cross_validation, foreign
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.work import Work


class Prepared(NamedTuple):
    """The training as it will be: `work` has a window if not all rows fit in memory; `left_out` has reasons by candidate."""

    work: Work
    settings: Train
    competing: list[Candidate]
    left_out: dict[str, str]
    way: Way
    progress: Progress


def prepare(work: Work, say: Say) -> Prepared:
    """Decide before anything is read, and say so; raises TrainingFailed for settings or memory that allow no training."""
    job, schema = work.job, work.schema
    settings, absent = foreign.usable(job.train)
    planned = candidates.plan(schema, settings)
    cross_validation.metric_of(schema.task, settings)
    names = [candidate.name for candidate in planned]
    way = memory.choose(job.rows, schema, settings, names, resource_limits.memory(settings.memory_bytes))
    competing = [candidate for candidate in planned if candidate.name not in way.unable]
    if way.newest is not None:
        settings = settings.model_copy(update={"window_rows": way.newest})
        work = replace(work, job=replace(job, settings={**job.settings, "window_rows": way.newest}))
    progress = Progress(job.run, len(competing), say)
    progress.stage(way.stage)
    if way.sentence:
        progress.announce(way.sentence)
    return Prepared(work, settings, competing, absent | way.unable, way, progress)
