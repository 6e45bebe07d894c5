"""The home folder: every path the program reads or writes, in one place.

The layout is the table in docs/architecture.md.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.core import file_modes
from daemon.core.errors import BadSettings


@dataclass(frozen=True)
class Home:
    """Paths below one home folder; nothing here touches the disk except `make`."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "retraind.toml"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def rejected(self) -> Path:
        return self.inbox / "rejected"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def segments(self) -> Path:
        return self.data / "dataset"

    @property
    def orphans(self) -> Path:
        """Segments that the journal did not know when they were found in the dataset."""
        return self.data / "orphans"

    @property
    def dataset_pointer(self) -> Path:
        """DVC's pointer to the dataset: there from the first commit on."""
        return self.data / "dataset.dvc"

    @property
    def schema(self) -> Path:
        return self.data / "schema.json"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def journal(self) -> Path:
        return self.registry / "journal.db"

    @property
    def mlflow(self) -> Path:
        return self.registry / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.registry / "artifacts"

    @property
    def bundles(self) -> Path:
        return self.registry / "bundles"

    @property
    def pointer(self) -> Path:
        return self.registry / "champion.json"

    @property
    def token(self) -> Path:
        """The admin's token in clear, made at the first start."""
        return self.registry / "token"

    @property
    def tokens(self) -> Path:
        """What is known of every other token, and when each was used last; see `daemon.access.tokens`."""
        return self.registry / "tokens"

    @property
    def sessions(self) -> Path:
        """Who has signed in with a browser, one small JSON file each."""
        return self.registry / "sessions"

    @property
    def lock(self) -> Path:
        return self.registry / "daemon.lock"

    @property
    def status(self) -> Path:
        """What the daemon says of itself, rewritten about once a second (never fsynced)."""
        return self.registry / "status.json"

    @property
    def requests(self) -> Path:
        """Durable requests to the loop: one small JSON file each."""
        return self.registry / "requests"

    @property
    def workers(self) -> Path:
        """One lock and one counter snapshot per HTTP worker."""
        return self.registry / "workers"

    @property
    def known(self) -> Path:
        """Fingerprints of the rows of each segment; can be made again from the segments."""
        return self.registry / "known"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def history(self) -> Path:
        """Predictions in SQLite; can be rebuilt from the logs."""
        return self.logs / "predictions.db"

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
