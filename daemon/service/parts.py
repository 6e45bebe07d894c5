"""The parts of a running daemon, opened in order; with `retraind.daemon.service.service.compose` this is the composition root.

It imports SQLAlchemy and pyarrow, so the service imports it after its HTTP workers answer.
"""

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retraind.daemon.core import durable, logs, shared_folder
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.dataset.repacking import Repacking
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.drift.watch import DriftWatch
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.rejected_folder import Rejected
from retraind.daemon.inbox.settling import Settling
from retraind.daemon.inbox.watcher import Watcher
from retraind.daemon.ingest.ingestion import Ingestion
from retraind.daemon.ingest.reading.late_labels import Labels
from retraind.daemon.objects.opening import open_store, owned
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.predicting.outbox.keeper import OutboxKeeper
from retraind.daemon.processes.child import Trainer
from retraind.daemon.processes.stop_signals import Wake
from retraind.daemon.processes.worker_keeper import WorkerKeeper
from retraind.daemon.promotion.promotion import Promotion
from retraind.daemon.records.search import history_files
from retraind.daemon.retraining.retraining import Retraining
from retraind.daemon.retraining.schedule import Schedule
from retraind.daemon.service import journal_opening, mlflow_start, serving_nodes
from retraind.daemon.service.heartbeat import START_SECONDS, Heartbeat
from retraind.daemon.service.remote_copies import RemoteCopies
from retraind.daemon.service.store_upkeep import StoreUpkeep
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.daemon.stored.bundles import StoredBundles
from retraind.daemon.stored.segments import StoredSegments
from retraind.daemon.tabular import arrow_without_pandas
from retraind.daemon.trends.gatherer import Gatherer

if TYPE_CHECKING:
    from retraind.daemon.history.old_predictions import OldPredictions
    from retraind.daemon.nodes.leading import Leading
    from retraind.daemon.notify.notifier import Notifier

log = logs.Logger()

AGAIN_SECONDS = 3600.0
"""Interval at which a leader with a standby compares the store with the journal: another leader may have removed
something too late."""


@dataclass(frozen=True)
class Frame:
    """The things that exist before any part and that parts are opened with; `stack` closes the parts in reverse."""

    home: Home
    settings: Settings
    wake: Wake
    heartbeat: Heartbeat
    stack: ExitStack
    settling: Settling | None = None
    """The observations of the inbox before the parts were imported."""


@dataclass(frozen=True)
class Parts:
    """The opened parts.

    All but `workers`, `history_copier`, `store_upkeep` and `projection`, which have their own threads, belong to the
    loop's thread.
    """

    home: Home
    settings: Settings
    wake: Wake
    heartbeat: Heartbeat
    workers: WorkerKeeper
    journal: Journal
    history_copier: HistoryCopier
    old_predictions: "OldPredictions | None"
    """The history's files, if there may be any."""
    schedule: Schedule
    promotion: Promotion
    retraining: Retraining
    inbox: Inbox
    watcher: Watcher
    ingestion: Ingestion
    driftwatch: DriftWatch
    packing: Repacking
    store: ObjectStore | None
    store_upkeep: StoreUpkeep | None
    """Runs in its own thread; None without a store."""
    projection: RemoteCopies | None
    """Runs in its own thread; None without a remote."""
    outbox: OutboxKeeper
    nodes: "Leading | None"
    """What serves serving nodes, if there may be any."""
    notifier: "Notifier | None"
    """Sends notices in its own threads; None without a target."""


def open_parts(frame: Frame, workers: WorkerKeeper, trainer: Trainer) -> Parts:
    """Open every part, and repair what a killed daemon left.

    Raises HistoryLost, BadSettings and the errors of a damaged home; Stopped when the service must end before that is
    done.
    """
    home, settings, stack = frame.home, frame.settings, frame.stack
    arrow_without_pandas.without_pandas()
    schedule = Schedule(settings.retrain.schedule)
    swept = sweep(home)
    gatherer = _start_gatherer(frame)
    store = _open_store(frame)
    journal = journal_opening.open_journal(frame, store, workers)
    store = serving_nodes.fenced(frame, owned(store, home), journal)
    dataset = _open_dataset(frame, journal, store)
    gatherer.lead()
    history_copier = _start_history_copier(frame, gatherer, journal)
    old_predictions = _open_old_predictions(frame, store, journal, history_copier)
    models = mlflow_start.open_models(frame, journal)
    promotion = Promotion(home, settings.promote, journal, models, StoredBundles(home, store, frame.wake))
    promotion.live.old = None if old_predictions is None else old_predictions.by_ids
    promotion.recover()
    retraining = Retraining(home, settings, journal, trainer, schedule, promotion.live.fell)
    abandoned = retraining.recover()
    if not mlflow_start.in_order(frame, journal, models):
        trainer.keep_awake(time.monotonic())  # it retries, and the health says why
    journal.database.settle()
    inbox, watcher = _open_inbox(frame, journal)
    ingestion = _open_ingestion(frame, inbox, dataset, journal, history_copier, old_predictions)
    older = None if old_predictions is None else old_predictions.newest
    driftwatch = stack.enter_context(closing(DriftWatch(home, settings.drift, journal, older)))
    packing = stack.enter_context(closing(Repacking(home, journal)))
    upkeep = _start_upkeep(frame, store, dataset, promotion, models)
    outbox = stack.enter_context(closing(OutboxKeeper(home, settings, frame.wake)))
    log.info("recovered", swept=swept, abandoned=abandoned)
    ours = home, settings, frame.wake, frame.heartbeat, workers, journal, history_copier, old_predictions, schedule
    made = promotion, retraining, inbox, watcher, ingestion, driftwatch, packing, store, upkeep
    projection, nodes = _start_projection(frame, store), serving_nodes.lead(frame, store, journal, workers)
    if nodes is not None:
        ingestion.intake.label_wait.complete_until = nodes.complete_until
    return Parts(*(*ours, *made, projection, outbox, nodes, _start_notifier(frame, journal)))


def _open_store(frame: Frame) -> ObjectStore | None:
    store = open_store(frame.settings.storage)
    if store is not None:
        frame.stack.callback(store.close)
    return store


def _start_gatherer(frame: Frame) -> Gatherer:
    """Start the thread of figures over time; a standby's has those of its own workers meanwhile."""
    gatherer = Gatherer(frame.home, frame.settings)
    gatherer.start()
    frame.stack.callback(gatherer.stop)
    return gatherer


def _start_history_copier(frame: Frame, gatherer: Gatherer, journal: Journal) -> HistoryCopier:
    history_copier = _history_copier(frame, journal)
    history_copier.counting = gatherer.count_predictions
    history_copier.start()
    frame.stack.callback(history_copier.stop)
    return history_copier


def _history_copier(frame: Frame, journal: Journal) -> HistoryCopier:
    """The copier of the prediction log; one that leaves logs to the archiver has modules of its own."""
    if frame.settings.predictions.history != "parquet" and not history_files.waiting_logs(frame.home.history):
        return HistoryCopier(frame.home, frame.settings)
    from retraind.daemon.history import index

    return index.copier(frame.home, frame.settings, journal)


def _open_old_predictions(
    frame: Frame, store: ObjectStore | None, journal: Journal, copier: HistoryCopier
) -> "OldPredictions | None":
    """Open the history's files; without them nothing is imported."""
    if not (copier.archives or history_files.last_seq(frame.home.journal)):
        return None
    from retraind.daemon.history import old_predictions

    opened = old_predictions.opened(frame.home, frame.settings, store, journal, copier)
    frame.stack.callback(opened.close)
    return opened


def _open_dataset(frame: Frame, journal: Journal, store: ObjectStore | None) -> Dataset:
    dataset = Dataset(
        frame.home,
        lambda sentence: journal.events.record(EventKind.REPAIRED, sentence, level=Level.WARNING),
        StoredSegments(frame.home, store, journal),
        journal.term.epoch if journal.term and frame.settings.leader.standby else None,
    )
    frame.stack.callback(dataset.close)
    with frame.heartbeat.step("checking the data", START_SECONDS), frame.wake.interruptible():
        dataset.open(
            {segment["name"]: segment["md5"] for segment in journal.segments.current()}, journal.segments.replaced
        )
    return dataset


def _start_upkeep(
    frame: Frame, store: ObjectStore | None, dataset: Dataset, promotion: Promotion, models: ModelVersions
) -> StoreUpkeep | None:
    """Start the thread that completes home and store, if there is a store."""
    if store is None:
        return None
    again = AGAIN_SECONDS if frame.settings.leader.standby else None
    upkeep = StoreUpkeep(frame.home, store, dataset.stored, promotion.stored, models, again)
    upkeep.start()
    frame.stack.callback(upkeep.close)
    return upkeep


def _start_projection(frame: Frame, store: ObjectStore | None) -> RemoteCopies | None:
    """Start the thread that copies revisions to git's and DVC's remotes, if there are any."""
    remote = frame.settings.data.git_remote
    if store is None and not remote:
        return None
    projection = RemoteCopies(frame.home, store, remote)
    projection.start()
    frame.stack.callback(projection.close)
    return projection


def _start_notifier(frame: Frame, journal: Journal) -> "Notifier | None":
    """Start sending notices; without a target nothing is imported."""
    settings = frame.settings
    if not settings.notify.is_on:
        return None
    from retraind.daemon.notify.notifier import Notifier

    notifier = Notifier(frame.home, settings.notify, settings.server.public_url, journal, frame.wake)
    frame.stack.callback(notifier.close)
    return notifier


def _open_inbox(frame: Frame, journal: Journal) -> tuple[Inbox, Watcher]:
    inbox = _inbox(frame, journal)
    watcher = Watcher(frame.home, inbox.hint, frame.wake)
    frame.stack.callback(watcher.close)
    inbox.recover()
    return inbox, watcher


def _inbox(frame: Frame, journal: Journal) -> Inbox:
    """The inbox; without a bucket nothing more is imported."""
    if not frame.settings.inbox.url:
        return Inbox(frame.home, frame.settings.inbox, frame.wake, frame.settling)
    from retraind.daemon.inbox.bucket.starting import start_inbox

    return start_inbox(frame.home, frame.settings, frame.wake, frame.settling, journal, frame.stack)


def _open_ingestion(
    frame: Frame,
    inbox: Inbox,
    dataset: Dataset,
    journal: Journal,
    history_copier: HistoryCopier,
    old: "OldPredictions | None",
) -> Ingestion:
    home, settings = frame.home, frame.settings
    labels = Labels(home, journal, lambda: history_copier.copied_at, old)
    erasing = history_copier.erase, None if old is None else old.erase
    ingestion = Ingestion(home, settings, inbox, dataset, journal, labels, frame.heartbeat.rename, *erasing)
    frame.stack.callback(ingestion.close)
    return ingestion


def sweep(home: Home) -> int:
    """Remove unfinished files that a killed process left; call while holding the home's lock."""
    shared = (home.inbox, home.requests, home.workers, home.registry)  # HTTP workers write there at present
    swept = sum(durable.sweep(place, seconds=60) for place in shared)
    swept += durable.sweep(home.data) if home.data.is_dir() else 0
    if (home.registry / "moving").exists():
        from retraind.daemon.storage.server import copies

        copies.sweep(home)
    return swept + SegmentFolder(home).sweep() + sweep_rejected(home)


def sweep_rejected(home: Home) -> int:
    """Remove unfinished files from `inbox/rejected`, with extra care, because other users write in the inbox."""
    try:
        return Rejected.of(shared_folder.inbox(home)).sweep()
    except (OSError, RetraindError) as error:  # the health's check `inbox` reports it until it is fixed
        log.warning("rejected_not_swept", reason=str(error))
        return 0
