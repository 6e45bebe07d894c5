"""Registry recovery: MLflow's database was lost with a disk, and the journal was not: the versions come back from there.

Otherwise none would be served, and their numbers would be given again, to models for which the journal has a verdict already.
"""

from retraind.daemon.core import logs, requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind, Level, RunState, VersionState
from retraind.daemon.records import challenger
from retraind.daemon.schema.score_names import counted
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.mlflow import lost_versions, mlflow_database
from retraind.daemon.storage.mlflow.mlflow_database import MlflowDatabase
from retraind.daemon.storage.model_versions import CHALLENGER, CHAMPION, PREVIOUS

log = logs.Logger()


def recover(home: Home, journal: Journal, database: MlflowDatabase | None = None) -> None:
    """Put versions and aliases back into a database that has none; raises Unavailable."""
    database = database or mlflow_database.of(home)
    last = journal.runs.last(RunState.TRAINED)
    if last is None or not lost_versions.all_gone(database):
        return
    judged = journal.versions.newest()
    if judged:
        lost_versions.restore(database, judged, _aliases(journal))
        sentence = f"MLflow's database was empty: {counted(len(judged), 'version')} of the journal are in it again."
        journal.events.record(EventKind.REPAIRED, sentence, level=Level.WARNING)
        log.warning("versions_restored", versions=len(judged))
    _train_again(home, journal)


def _train_again(home: Home, journal: Journal) -> None:
    """Request a training if the last version had no verdict: nothing knows its bundle, and its rows count as trained on."""
    last = journal.runs.last(RunState.TRAINED)
    if last is not None and last["version"] is not None and journal.versions.get(last["version"]) is None:
        requests.submit(home, "retrain", force=True, by="daemon")


def follow(home: Home, journal: Journal, database: MlflowDatabase | None = None) -> None:
    """Bring versions and aliases of a database up to the journal, which another machine has written; raises Unavailable.

    Runs stay. A version that the journal does not have was registered here and never judged; its number may belong to
    another one by now.
    """
    judged = journal.versions.newest()
    removed = lost_versions.replace(database or mlflow_database.of(home), judged, _aliases(journal) if judged else {})
    log.info("versions_follow", versions=len(judged), removed=removed)
    _train_again(home, journal)


def _aliases(journal: Journal) -> dict[str, int | None]:
    """What MLflow's aliases were, as far as the journal tells."""
    swap, [newest] = journal.swaps.last(), journal.versions.newest(1)
    served = None if swap is None else swap["version"]
    # A verdict is recorded before its swap.
    chosen = newest["state"] == VersionState.PROMOTED and not journal.swaps.was_served(newest["version"])
    return {
        CHAMPION: newest["version"] if chosen else served,
        PREVIOUS: None if swap is None else swap["previous"],
        CHALLENGER: journal.versions.named_by(challenger.WAITING),
    }
