"""The home folder: every path the program reads or writes, in one place.

The layout is the table in docs/architecture.md.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core import file_modes
from retraind.daemon.core.errors import BadSettings


class SubPath:
    """A path below the home folder: `home.inbox` is the root joined with it."""

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

    predict = SubPath("inbox/predict")
    """Unlabelled files, whose answers come into `outbox`."""
    outbox = SubPath("outbox")

    data = SubPath("data")
    segments = SubPath("data/dataset")
    orphans = SubPath("data/orphans")
    """Segments from the dataset folder that the journal does not know."""
    dataset_pointer = SubPath("data/dataset.dvc")
    """DVC's pointer to the dataset; exists from the first commit on."""
    schema = SubPath("data/schema.json")

    registry = SubPath("registry")
    journal = SubPath("registry/journal.db")
    journal_server = SubPath("registry/journal-server.json")
    """Names the server of the journal if there is no `journal.db`; see `retraind.daemon.core.journal.journal_server`."""
    identity = SubPath("registry/home.json")
    """The id of the home; see `retraind.daemon.core.journal.home_identity`."""
    mlflow = SubPath("registry/mlflow.db")
    mlflow_server = SubPath("registry/mlflow-server.json")
    """Names the server of MLflow's database if there is no `mlflow.db`; see `retraind.daemon.core.databases.mlflow_server`."""
    artifacts = SubPath("registry/artifacts")
    bundles = SubPath("registry/bundles")
    pointer = SubPath("registry/champion.json")
    token = SubPath("registry/token")
    """The admin's token in clear, made at the first start."""
    tokens = SubPath("registry/tokens")
    """Hash, scopes and last use of every other token; see `retraind.daemon.access.tokens`."""
    sessions = SubPath("registry/sessions")
    """The browsers that are signed in, one small JSON file each."""
    lock = SubPath("registry/daemon.lock")
    status = SubPath("registry/status.json")
    """The daemon's status, rewritten about once a second (never fsynced)."""
    settings_in_force = SubPath("registry/settings.json")
    """The settings of the running service and their origins; see `daemon.core.settings.in_force`."""
    node = SubPath("registry/node.json")
    """What the agent of a serving node says to its workers; see `retraind.daemon.core.node.messages`."""
    requests = SubPath("registry/requests")
    """Durable requests to the loop: one small JSON file each."""
    workers = SubPath("registry/workers")
    """One lock and one counter snapshot per HTTP worker."""
    outbox_records = SubPath("registry/outbox")
    """What became of the files of `inbox/predict`: one small JSON file each, while the answers are in `outbox`."""
    dvc_site = SubPath("registry/dvc-site")
    """DVC's own state, which includes pickles: its default folder is writable for every user of the machine."""
    known = SubPath("registry/known")
    """Fingerprints of the rows of each segment; can be rebuilt from the segments."""

    logs = SubPath("logs")
    history = SubPath("logs/predictions.db")
    """Predictions in SQLite; can be rebuilt from the logs."""
    trends = SubPath("logs/trends.db")
    """Figures over time in SQLite."""

    def bundle(self, version: int) -> Path:
        """Folder of one version's bundle."""
        return self.bundles / str(version)

    def worker_lock(self, slot: int | str, pid: int | str) -> Path:
        """The lock that an HTTP worker holds while it runs."""
        return self.workers / f"{slot}-{pid}.lock"

    def worker_counters(self, slot: int | str, pid: int | str) -> Path:
        """The counters that an HTTP worker publishes; `*` as pid is a pattern for all processes of a slot."""
        return self.workers / f"{slot}-{pid}.json"

    def staging(self, run: str) -> Path:
        """Folder in which the bundle of an MLflow run is made; it stays there until its version is judged."""
        return self.bundles / f".staging-{run}"

    def require_plain_path(self) -> None:
        """Raise BadSettings for a path that no daemon can run in: MLflow reads the path of its database as a URL."""
        odd = next((mark for mark in "?%#" if mark in str(self.root)), None)
        if odd is not None:
            raise BadSettings(
                f"The home folder must not have {odd!r} in its path: {self.root}.", hint="Use another --home."
            )

    def make(self) -> None:
        """Create the folders with the modes of docs/operations.md; `inbox/rejected` gets its mode when it is opened."""
        private = (
            *(self.data, self.logs, self.registry, self.artifacts, self.bundles, self.requests, self.workers),
            *(self.tokens, self.sessions, self.known),
        )
        for folder in (self.inbox, *private):
            file_modes.make(folder)
        with suppress(FileExistsError):  # the health reports whatever is wrong
            self.rejected.mkdir(mode=file_modes.FOLDER)
        for folder in private:
            file_modes.keep_private(folder)
        file_modes.keep_inbox(self.inbox)
