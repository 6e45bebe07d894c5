"""SelfChecks: whether the loop's files and folders still exist, checked once a second during work.

The sentences are those of `daemon/core/home_integrity.py`. This module adds facts that only the daemon knows: which
files it has open, and which segments must exist.
"""

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import home_integrity
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import RetraindError, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.home_integrity import OpenedFile
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import LAYOUT, ModelVersions


class SelfChecks:
    """Checks one home; used by the loop thread, once everything is open."""

    def __init__(self, home: Home, journal: Journal, models: ModelVersions | None = None) -> None:
        self._home, self._journal = home, journal
        self._registry = OpenedFile(mlflow_server.file_of(home))
        self._models = models or ModelVersions(home)
        self._layout: tuple[object, str | None] = (None, None)
        self._segments: tuple[int, frozenset[str]] = (-1, frozenset())
        self._bundle: tuple[object, tuple[str, ...]] = (None, ())

    def require_databases(self) -> None:
        """Raise Unavailable while work could not be recorded, because the opened databases are gone."""
        if lost := self._journal.lost() or self._registry.lost():
            raise Unavailable(lost)

    def journal(self) -> str | None:
        """Why the journal can't be relied on."""
        return self._journal.problem()

    def registry(self) -> str | None:
        """Why models can't be registered."""
        home = self._home
        folders = (home.artifacts, home.bundles, home.requests, home.workers)
        lost = self._registry.lost() or next(filter(None, map(home_integrity.unwritable, folders)), None)
        return lost or self._strange_tables()

    def _strange_tables(self) -> str | None:
        """Why the versions read from MLflow may be wrong; checked after writes to its database. Raises Unavailable."""
        database = self._models.database
        database.require(self._home)
        state = database.stamp()
        if self._layout[0] != state or not database.in_file:  # a query is the only proof that a server answers
            self._layout = state, self._models.layout()
        if self._layout[1] in (None, LAYOUT):
            return None
        return (
            f"{database.place} has tables of another MLflow than retraind knows ({self._layout[1] or 'none'}). "
            "Install the retraind that belongs to it, or restore the home from a backup."
        )

    def data(self) -> str | None:
        """Why rows can't be added, or which of them are gone."""
        folders = (self._home.data / ".git", self._home.segments, self._home.data)
        gone = next((path for path in folders if not path.is_dir()), None)
        if gone is not None:
            return f"{gone} is gone: put it back, or stop the daemon and restore data/ from a backup."
        return next(filter(None, map(home_integrity.unwritable, folders)), None) or self._missing_segments()

    def _missing_segments(self) -> str | None:
        if self._segments[0] != self._journal.writes:
            self._segments = self._journal.writes, frozenset(one["name"] for one in self._journal.segments.current())
        missing = sorted(self._segments[1] - SegmentFolder(self._home).names())
        if not missing:
            return None
        return (
            f"{len(missing)} of {len(self._segments[1])} segments are gone from {self._home.segments}, the first is "
            f"{missing[0]}. Put them back; a restart restores those in DVC's cache."
        )

    def bundle(self, served: tuple[int, str] | None) -> str | None:
        """Why the served version (its number and its manifest's sha256) could not be loaded again."""
        if served is None:
            return None
        if self._bundle[0] != served:
            try:
                manifest = bundle.read_manifest(self._home.bundle(served[0]), served[1])
            except RetraindError:  # the missing manifest is named below, or a worker reports the problem
                self._bundle = None, ()
            else:
                self._bundle = served, tuple(manifest.files)
        return home_integrity.bundle(self._home, served[0], (bundle.MANIFEST, *self._bundle[1]))
