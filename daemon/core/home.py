"""The home folder: every path the program reads or writes, in one place.

The layout is the table in docs/architecture.md.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.core import file_modes
from daemon.core.errors import BadSettings


class SubPath:
    """A path below the home folder: `home.inbox` is the root joined with what stands here."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, home: "Home", owner: type["Home"]) -> Path:
        return home.root / self._path


@dataclass(frozen=True)
class Home:
    """Paths below one home folder; nothing here touches the disk except `make`."""

    root: Path

    settings = SubPath("retraind.toml")
    inbox = SubPath("inbox")
    rejected = SubPath("inbox/rejected")

    data = SubPath("data")
    segments = SubPath("data/dataset")
    orphans = SubPath("data/orphans")
    """Segments that the journal did not know when they were found in the dataset."""
    dataset_pointer = SubPath("data/dataset.dvc")
    """DVC's pointer to the dataset: there from the first commit on."""
    schema = SubPath("data/schema.json")

    registry = SubPath("registry")
    journal = SubPath("registry/journal.db")
    journal_server = SubPath("registry/journal-server.json")
    """Which server has the journal, where it is not in that file; see `daemon.core.journal.journal_server`."""
    mlflow = SubPath("registry/mlflow.db")
    artifacts = SubPath("registry/artifacts")
    bundles = SubPath("registry/bundles")
    pointer = SubPath("registry/champion.json")
    token = SubPath("registry/token")
    """The admin's token in clear, made at the first start."""
    tokens = SubPath("registry/tokens")
    """Hash, scopes and last use of every other token; see `daemon.access.tokens`."""
    sessions = SubPath("registry/sessions")
    """The browsers that are signed in, one small JSON file each."""
    lock = SubPath("registry/daemon.lock")
    status = SubPath("registry/status.json")
    """The daemon's status, rewritten about once a second (never fsynced)."""
    requests = SubPath("registry/requests")
    """Durable requests to the loop: one small JSON file each."""
    workers = SubPath("registry/workers")
    """One lock and one counter snapshot per HTTP worker."""
    dvc_site = SubPath("registry/dvc-site")
    """DVC's notes, which hold pickles: its default is a folder that every user of the machine can write to."""
    known = SubPath("registry/known")
    """Fingerprints of the rows of each segment; can be made again from the segments."""

    logs = SubPath("logs")
    history = SubPath("logs/predictions.db")
    """Predictions in SQLite; can be rebuilt from the logs."""

    def bundle(self, version: int) -> Path:
        """Folder of one version's bundle."""
        return self.bundles / str(version)

    def worker_lock(self, slot: int | str, pid: int | str) -> Path:
        """The lock that an HTTP worker holds while it runs."""
        return self.workers / f"{slot}-{pid}.lock"

    def worker_counters(self, slot: int | str, pid: int | str) -> Path:
        """What an HTTP worker publishes of itself; `*` as pid is a pattern for all that one slot has had."""
        return self.workers / f"{slot}-{pid}.json"

    def staging(self, run: str) -> Path:
        """Where the bundle of an MLflow run is made, and lies until its version is judged."""
        return self.bundles / f".staging-{run}"

    def require_plain_path(self) -> None:
        """Raise BadSettings where no daemon would run: MLflow takes the path of its database for a URL."""
        odd = next((mark for mark in "?%#" if mark in str(self.root)), None)
        if odd is not None:
            raise BadSettings(
                f"The home folder must not have {odd!r} in its path: {self.root}.", hint="Use another --home."
            )

    def make(self) -> None:
        """Create the folders and give them the modes of docs/operations.md; `inbox/rejected` gets its own when it is opened."""
        private = (
            *(self.data, self.logs, self.registry, self.artifacts, self.bundles, self.requests, self.workers),
            *(self.tokens, self.sessions, self.known),
        )
        for folder in (self.inbox, *private):
            file_modes.make(folder)
        with suppress(FileExistsError):  # whatever it is, the health says so
            self.rejected.mkdir(mode=file_modes.FOLDER)
        for folder in private:
            file_modes.keep_private(folder)
        file_modes.keep_inbox(self.inbox)
